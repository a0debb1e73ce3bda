"""Files of many records behind a head, written and read in batches.

All records at once would hold the interpreter lock for long, and several copies of them would be
in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgpack

from caterva2.errors import CatervaError
from caterva2.runtime import durable, memory, statefile

BATCH = 1000
"""Records of a batch."""
BATCH_BYTES = 8 * 2**20
"""Encoded bytes of a batch; a file with a larger one is damaged."""
UNREADABLE = (OSError, ValueError, CatervaError, msgpack.UnpackException)
"""Exceptions of reading such a file and validating its records."""


def write(path: Path, head: object, records: Iterable[object], batch: int = BATCH) -> None:
    """Replace a file atomically by a head and records.

    Parameters
    ----------
    path : Path
    head : object
        Of types that msgpack encodes, as the records.
    records : iterable
    batch : int, optional
        Records that are encoded together.

    Raises
    ------
    OSError
        If writing failed; the old file is still there then.
    """
    durable.write_pieces(path, _pieces(head, iter(records), batch))


def _pieces(head: object, records: Iterator[object], size: int) -> Iterator[bytes]:
    yield msgpack.packb(head)
    while batch := list(itertools.islice(records, size)):
        yield msgpack.packb(batch)


def refuse_newer(path: Path, head: object, newest: int) -> int:
    """Return the format that a file's head begins with; 1 if it begins with something else.

    Raises
    ------
    StartError
        If only a newer program knows the format.
    """
    first = head[0] if isinstance(head, list) and head else None
    if type(first) is not int:
        return 1
    statefile.refuse_newer(path, first, newest)
    return first


def read(path: Path) -> Iterator[Any]:
    """Yield the head, None for an empty file, and then lists of records; none is validated."""
    with path.open("rb") as file:
        saved = msgpack.Unpacker(file, max_buffer_size=BATCH_BYTES)
        yield next(saved, None)
        for batch in saved:
            yield batch
            memory.promote_all()
