"""Trash: what users removed of special roots, for a while, or until its room is needed.

An item is a directory: ``about.json``, and ``content`` with what was removed. The note is written
first, then one rename moves a file or directory from its root into the content; so after a crash
it is in one of both. An item without content is none.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from caterva2.errors import NotFound
from caterva2.runtime import durable
from caterva2.special.incoming import remove
from caterva2.special.quota import SpecialQuota

log = logging.getLogger(__name__)
_IDENT = re.compile(r"[0-9a-f]{24}")
_ABOUT, _CONTENT = "about.json", "content"


@dataclass(frozen=True, slots=True)
class Trashed:
    """Something that was removed from a special root, and can be restored.

    Parameters
    ----------
    ident : str
    root : str
        Name of its root.
    owner : str
        Ident of the user whose root it is; empty for a root of all users.
    below : str
        Its path in the root; empty for all that the root had.
    removed : float
        When, in seconds since 1970.
    size : int
        Bytes of its files.
    """

    ident: str
    root: str
    owner: str
    below: str
    removed: float
    size: int = 0


class Trash:
    """The directory of items; all methods block, and may be called from any thread.

    Parameters
    ----------
    directory : Path
        On the file system of the special roots; made if it is missing.
    quota : SpecialQuota
        Counts the bytes of the items, and has them removed when it needs room.
    kept : float
        Seconds for which an item is kept.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        directory: Path,
        quota: SpecialQuota,
        kept: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.kept = kept
        self._directory = directory
        self._quota = quota
        self._clock = clock
        self._lock = threading.RLock()
        self._items: dict[str, Trashed] = {}
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in directory.iterdir():
            found = _read(path)
            if found is None:
                remove(path)
            else:
                self._items[found.ident] = found
                quota.add_trashed(found.size)
        quota.make_room = self._make_room

    # --- items ---

    def items(self, roots: Callable[[Trashed], bool]) -> list[Trashed]:
        """Return the items of some roots, those that were removed last first."""
        self.expire()
        with self._lock:
            found = [item for item in self._items.values() if roots(item)]
        return sorted(found, key=lambda item: item.removed, reverse=True)

    def get(self, ident: str, roots: Callable[[Trashed], bool]) -> Trashed:
        """Return an item of some roots; `NotFound` if there is none."""
        with self._lock:
            found = self._items.get(ident)
        if found is None or not roots(found):
            raise _missing(ident)
        return found

    def begin(self, root: str, owner: str, below: str) -> Trashed:
        """Make an item without content, which is to be moved into `content_of` it."""
        item = Trashed(secrets.token_hex(12), root, owner, below, self._clock())
        path = self._directory / item.ident
        (path / _CONTENT).mkdir(parents=True, mode=0o700)
        note = {"root": root, "owner": owner, "below": below, "removed": item.removed}
        durable.write(path / _ABOUT, json.dumps(note).encode())
        durable.sync_directory(self._directory)
        return item

    def content_of(self, item: Trashed) -> Path:
        """Return the directory with the content of an item."""
        return self._directory / item.ident / _CONTENT

    def end(self, item: Trashed) -> None:
        """Keep an item whose content is there; one without any is removed."""
        content = self.content_of(item)
        durable.sync_directory(content)
        left = replace(item, size=_size(content))
        if any(content.iterdir()):
            with self._lock:
                self._items[item.ident] = left
        else:
            remove(self._directory / item.ident)
        self._quota.add_trashed(left.size - item.size)

    def claim(self, ident: str) -> Trashed:
        """Take an item, which nothing else removes or restores until `end` is called for it.

        Raises
        ------
        NotFound
        """
        with self._lock:
            found = self._items.pop(ident, None)
        if found is None:
            raise _missing(ident)
        return found

    def drop(self, item: Trashed) -> None:
        """Remove an item for good, unless it is claimed or removed already."""
        with self._lock:
            known = self._items.pop(item.ident, None)
        if known is None:
            return
        self._quota.add_trashed(-known.size)
        with contextlib.suppress(OSError):  # else it is dropped at the next start
            (self._directory / item.ident / _ABOUT).unlink()
        remove(self._directory / item.ident)

    # --- room ---

    def expire(self) -> None:
        """Remove what has been kept for long enough."""
        until = self._clock() - self.kept
        with self._lock:
            old = [item for item in self._items.values() if item.removed <= until]
        for item in old:
            self.drop(item)

    def _make_room(self, size: int) -> None:
        """Remove the oldest items, of ``size`` bytes together."""
        while size > 0:
            with self._lock:
                oldest = min(self._items.values(), key=lambda item: item.removed, default=None)
            if oldest is None:
                return
            log.info("room is needed: %s/%s leaves the trash", oldest.root, oldest.below)
            self.drop(oldest)
            size -= oldest.size


def _missing(ident: str) -> NotFound:
    return NotFound(f"{ident[:40]!r} is not in the trash")


def _read(path: Path) -> Trashed | None:
    """Read an item from its directory; None if it is none, or has no content."""
    try:
        if not _IDENT.fullmatch(path.name) or not any((path / _CONTENT).iterdir()):
            return None
        note: Any = json.loads((path / _ABOUT).read_bytes())
        root, owner, below = (str(note[key]) for key in ("root", "owner", "below"))
        size = _size(path / _CONTENT)
        return Trashed(path.name, root, owner, below, float(note["removed"]), size)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _size(path: Path) -> int:
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total
