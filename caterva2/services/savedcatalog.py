"""A root's catalog in a file, so that it outlives the subscriber."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgpack
from pydantic import TypeAdapter

from caterva2 import durable, garbage
from caterva2.errors import CatervaError
from caterva2.model import Entry
from caterva2.names import RootName
from caterva2.services.catalog import CatalogCopy

log = logging.getLogger(__name__)
BATCH = 1000
"""Entries that are written and read at a time: more would hold the interpreter, and be there
several times over."""
BATCH_BYTES = 8 * 2**20
_HEAD = TypeAdapter(tuple[str, int, int])
"""The publisher's run, the revision, and the number of entries that follow."""
_BATCH = TypeAdapter(list[Entry])


def read(file: Path, root: RootName) -> CatalogCopy:
    """The catalog that was saved; one that knows nothing where there is none to be used."""
    try:
        with file.open("rb") as saved:
            return _read(msgpack.Unpacker(saved, max_buffer_size=BATCH_BYTES))
    except FileNotFoundError:
        return CatalogCopy()
    except (OSError, ValueError, CatervaError, msgpack.UnpackException) as error:
        log.warning("the saved catalog of %s can't be used: %s", root, error)
        return CatalogCopy()


def _read(saved: Iterator[object]) -> CatalogCopy:
    inst, rev, count = _HEAD.validate_python(next(saved, None))
    copy = CatalogCopy(inst=inst, rev=rev, complete=True)
    for batch in saved:
        copy.entries |= {entry.path: entry for entry in _BATCH.validate_python(batch)}
        garbage.age()
    if len(copy.entries) != count:
        raise ValueError(f"{len(copy.entries)} of {count} entries are there")
    return copy


def write(file: Path, inst: str, rev: int, entries: Sequence[Entry]) -> None:
    """Save a catalog.

    Raises
    ------
    OSError
        If it can't be written.
    """
    durable.write_pieces(file, _pieces(inst, rev, entries))


def _pieces(inst: str, rev: int, entries: Sequence[Entry]) -> Iterator[bytes]:
    yield msgpack.packb((inst, rev, len(entries)))
    left = iter(entries)
    while batch := [entry.fields() for entry in itertools.islice(left, BATCH)]:
        yield msgpack.packb(batch)
