"""Slice strings, and the chunks that they touch."""

from __future__ import annotations

import contextlib

from caterva2.arrays import selection
from caterva2.errors import BadSelection

ARRAYS = (((), ()), ((1000,), (7,)), ((40, 50, 3), (10, 11, 2)), ((2**40, 0), (2**20, 1)))
LISTED = 1000
"""Chunks above which they are only counted."""


def one(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(BadSelection):
        selection.to_string(selection.parse_key(text))
    for shape, chunks in ARRAYS:
        with contextlib.suppress(BadSelection):
            use(selection.parse(text, shape), chunks)


def use(chosen: selection.Selection, chunks: tuple[int, ...]) -> None:
    count = selection.count_chunks(chosen, chunks)
    chosen.is_aligned(chunks)
    if 0 < count <= LISTED:
        assert len(selection.box(chosen, chunks).chunk_ids) == count
        parts = [part for part, _ in selection.split(chosen, chunks, 4)]
        assert sum(part.size for part in parts) == chosen.size
