"""A root's catalog in a file, kept across restarts of the subscriber."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgpack
from pydantic import TypeAdapter

from caterva2.errors import StartError
from caterva2.model import Entry, Manifest
from caterva2.names import RootName
from caterva2.runtime import batches, statefile
from caterva2.subscriber.catalog.copy import CatalogCopy, divided

log = logging.getLogger(__name__)
FORMAT = 5
"""1 had no number in its head, 2 no groups, 3 no fence, 4 no signature."""
_HEAD = TypeAdapter(tuple[str, int, int, int, dict[str, Any] | None])
"""The publisher's run, the revision, the number of entries that follow, the run's fence, and what
is signed of it."""
_UNSIGNED_HEAD = TypeAdapter(tuple[str, int, int, int])
"""Of format 4."""
_OLD_HEAD = TypeAdapter(tuple[str, int, int])
"""Up to format 3."""
_BATCH = TypeAdapter(list[Entry])


def read(file: Path, root: RootName) -> CatalogCopy:
    """Read the saved catalog; an empty one if there is none, or it is damaged.

    A damaged file is set aside, with a warning.

    Raises
    ------
    StartError
        If a newer version of this program wrote it.
    """
    try:
        return _read(file)
    except FileNotFoundError:
        pass
    except StartError:
        raise
    except OSError as error:
        log.warning("the saved catalog of %s can't be read: %s", root, error)
    except batches.UNREADABLE as error:
        lost = f"the saved catalog of {root} is lost, its publisher is asked for it"
        statefile.set_aside(file, statefile.reason(error), lost)
    return CatalogCopy()


class CatalogFile:
    """The file in which the catalog of a root outlives the subscriber.

    Parameters
    ----------
    directory : Path
        Of all catalogs.
    root : RootName
    """

    def __init__(self, directory: Path, root: RootName) -> None:
        self._path = _path(directory, root)
        self._root = root
        self._saved: tuple[str, int, Manifest | None] = "", -1, None

    def read(self) -> CatalogCopy:
        """Read the saved catalog, see `read`."""
        copy = read(self._path, self._root)
        self._saved = copy.inst, copy.rev, copy.signed
        return copy

    async def keep(self, copy: CatalogCopy) -> None:
        """Save a catalog if it is whole and changed; a failure is logged."""
        state = copy.inst, copy.rev, copy.signed
        if not copy.complete or not copy.even or state == self._saved:
            return
        # Copied now: the catalog may change while the thread writes.
        entries = [*copy.entries.values(), *copy.groups.values()]
        try:
            given = copy.inst, copy.rev, entries, copy.fence, copy.manifest
            await asyncio.to_thread(write, self._path, *given)
            self._saved = state
        except OSError as error:
            log.error("%s can't be written: %s", self._path, error)


def has(directory: Path) -> Callable[[RootName], bool]:
    """Make the function that says whether a directory has the catalog of a root."""
    return lambda root: _path(directory, root).exists()


def _path(directory: Path, root: RootName) -> Path:
    return directory / hashlib.blake2b(root.encode(), digest_size=16).hexdigest()


def refuse_newer(directory: Path) -> None:
    """Raise `StartError` if a newer version of this program wrote a catalog in a directory.

    A subscriber checks all of them when it starts, rather than each when its root is opened.
    """
    for file in sorted(directory.iterdir()):
        with contextlib.suppress(OSError, ValueError, msgpack.UnpackException):
            batches.refuse_newer(file, next(batches.read(file)), FORMAT)


def _read(file: Path) -> CatalogCopy:
    saved = batches.read(file)
    head = next(saved)
    number = batches.refuse_newer(file, head, FORMAT)
    fence, manifest = 0, None
    if number == FORMAT:
        inst, rev, count, fence, said = _HEAD.validate_python(head[1:])
        manifest = None if said is None else Manifest.model_validate(said)
    elif number == FORMAT - 1:
        inst, rev, count, fence = _UNSIGNED_HEAD.validate_python(head[1:])
    else:
        inst, rev, count = _OLD_HEAD.validate_python(head[1:] if number > 1 else head)
    # One without groups is no revision of a catalog that has them.
    copy = CatalogCopy(inst=inst if number > 2 else "", rev=rev, complete=True, fence=fence)
    copy.manifest = manifest
    for batch in saved:
        datasets, groups = divided(_BATCH.validate_python(batch))
        copy.entries |= datasets
        copy.groups |= groups
    if len(copy.entries) + len(copy.groups) != count:
        raise ValueError(f"it has {len(copy.entries) + len(copy.groups)} of {count} entries")
    return copy


def write(
    file: Path, inst: str, rev: int, entries: Sequence[Entry], fence: int = 0,
    manifest: Manifest | None = None,
) -> None:  # fmt: skip
    """Save a catalog.

    Raises
    ------
    OSError
        If it can't be written.
    """
    said = None if manifest is None else manifest.model_dump()
    head = (FORMAT, inst, rev, len(entries), fence, said)
    batches.write(file, head, (entry.fields() for entry in entries))
