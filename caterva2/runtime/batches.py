"""A file of very many records behind a head, written and read some at a time.

All at once would hold the interpreter, and the records would be there several times over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgpack

from caterva2.errors import CatervaError
from caterva2.runtime import durable, gc

BATCH = 1000
"""Records that are written and read together."""
BATCH_BYTES = 8 * 2**20
UNREADABLE = (OSError, ValueError, CatervaError, msgpack.UnpackException)
"""What is raised while such a file is read, or its records are validated."""


def write(path: Path, head: object, records: Iterable[object]) -> None:
    """Replace a file by a head and records, of what msgpack can hold.

    Raises
    ------
    OSError
        If that failed; the old file is still there then.
    """
    durable.write_pieces(path, _pieces(head, iter(records)))


def _pieces(head: object, records: Iterator[object]) -> Iterator[bytes]:
    yield msgpack.packb(head)
    while batch := list(itertools.islice(records, BATCH)):
        yield msgpack.packb(batch)


def read(path: Path) -> Iterator[Any]:
    """The head (None where there is nothing), then lists of records; none is validated."""
    with path.open("rb") as file:
        saved = msgpack.Unpacker(file, max_buffer_size=BATCH_BYTES)
        yield next(saved, None)
        for batch in saved:
            yield batch
            gc.promote_all()
