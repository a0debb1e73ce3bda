"""An array of large chunks, and how to ask for blocks of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from dataserver import Server

from caterva2.arrays.selection import normalise
from caterva2.cache.touched_blocks import Touched
from caterva2.model import Entry
from caterva2.wire import messages as m

VALUES = np.random.default_rng(2).integers(0, 2**40, (400, 400))
GRID: dict[str, Any] = {"chunks": (200, 400), "blocks": (20, 40)}
CORNER = normalise(np.s_[195:205, 35:45], VALUES.shape)
"""Ten rows by ten columns, around a corner of four blocks in two chunks."""


def ask_blocks(entry: Entry, wanted: Touched, etag: str = "", held: bytes = b"") -> m.BlocksRequest:
    parts = tuple(m.ChunkBlocks(n=n, ids=ids, held=held) for n, ids in wanted.items())
    return m.BlocksRequest(
        path=entry.path, etag=etag or entry.etag, blocks=parts, deadline_ms=10_000
    )


def raw_chunk(server: Server, entry: Entry, n: int) -> bytes:
    return next(server.source.chunks(entry.path, entry.etag, [n])).payload
