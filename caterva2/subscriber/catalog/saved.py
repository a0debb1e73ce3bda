"""A root's catalog in a file, kept across restarts of the subscriber."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from caterva2.model import Entry
from caterva2.names import RootName
from caterva2.runtime import batches
from caterva2.subscriber.catalog.copy import CatalogCopy

log = logging.getLogger(__name__)
_HEAD = TypeAdapter(tuple[str, int, int])
"""The publisher's run, the revision, and the number of entries that follow."""
_BATCH = TypeAdapter(list[Entry])


def read(file: Path, root: RootName) -> CatalogCopy:
    """Read the saved catalog; an empty one if there is none, or it can't be used."""
    try:
        return _read(file)
    except FileNotFoundError:
        return CatalogCopy()
    except batches.UNREADABLE as error:
        log.warning("the saved catalog of %s can't be used: %s", root, error)
        return CatalogCopy()


def _read(file: Path) -> CatalogCopy:
    saved = batches.read(file)
    inst, rev, count = _HEAD.validate_python(next(saved))
    copy = CatalogCopy(inst=inst, rev=rev, complete=True)
    for batch in saved:
        copy.entries |= {entry.path: entry for entry in _BATCH.validate_python(batch)}
    if len(copy.entries) != count:
        raise ValueError(f"it has {len(copy.entries)} of {count} entries")
    return copy


def write(file: Path, inst: str, rev: int, entries: Sequence[Entry]) -> None:
    """Save a catalog.

    Raises
    ------
    OSError
        If it can't be written.
    """
    batches.write(file, (inst, rev, len(entries)), (entry.fields() for entry in entries))
