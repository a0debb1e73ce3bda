"""How much room the cache may take, and what goes when there is no more."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import OrderedDict
from pathlib import Path

log = logging.getLogger(__name__)
HEADROOM = 0.9
"""Share of the quota down to which is evicted, so that it is not done for each chunk."""


class Quota:
    """Counts the bytes of all replicas, and names the least recently used ones to evict.

    Parameters
    ----------
    directory : Path
        The cache; what earlier runs left there counts.
    most : int
        Bytes that all files together may take; 0 is without a limit.
    """

    def __init__(self, directory: Path, most: int) -> None:
        self._most = most
        self._reserved = 0
        self._lock = threading.Lock()
        self._sizes: OrderedDict[Path, int] = OrderedDict()
        if most:
            self._count(directory)
        self._used = sum(self._sizes.values())

    def _count(self, directory: Path) -> None:
        found: dict[Path, tuple[float, int]] = {}
        for file in directory.rglob("*"):
            if file.is_file():
                status = file.stat()
                used, size = found.get(file.with_suffix(""), (0.0, 0))
                found[file.with_suffix("")] = max(used, status.st_mtime), size + status.st_size
        for base, (_, size) in sorted(found.items(), key=lambda item: item[1][0]):
            self._sizes[base] = size

    @property
    def used(self) -> int:
        """Bytes in use."""
        return self._used

    @property
    def _room(self) -> int:
        return max(self._most - self._reserved, 0)

    def has_room(self, size: int) -> bool:
        """Whether so many bytes fit in without anything that has to go for them."""
        return not self._most or self._used + size <= self._room

    def reserve(self, size: int) -> None:
        """So many bytes of the quota are taken by what is no replica, and is never evicted."""
        self._reserved = size

    def touch(self, base: Path) -> None:
        """A replica is used: it is the last to go now."""
        if self._most:
            with self._lock:
                self._sizes.setdefault(base, 0)
                self._sizes.move_to_end(base)
                os.utime(base.with_suffix(".index"))

    def take(self, base: Path, size: int) -> None:
        """Count bytes that are about to be written for a replica.

        Raises
        ------
        OSError
            If the quota has no room for them.
        """
        with self._lock:
            if self._most and self._used + size > self._room:
                raise OSError(errno.EDQUOT, f"the quota of {self._most} bytes is used up")
            self._sizes[base] = self._sizes.get(base, 0) + size
            self._used += size

    def drop(self, base: Path) -> None:
        """The files of a replica are gone."""
        with self._lock:
            self._used -= self._sizes.pop(base, 0)

    def to_evict(self, size: int, keep: Path) -> list[Path]:
        """The replicas that must go to make room for some bytes of another one."""
        with self._lock:
            if not self._most or self._used + size <= self._room:
                return []
            excess = self._used + size - int(self._room * HEADROOM)
            chosen: list[Path] = []
            for base, taken in self._sizes.items():
                if excess <= 0:
                    break
                if base != keep:
                    chosen.append(base)
                    excess -= taken
            return chosen
