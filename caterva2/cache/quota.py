"""The quota of the cache, and which replicas are evicted to keep it."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import OrderedDict
from pathlib import Path

from caterva2.limits import DEFAULTS, CacheLimits

log = logging.getLogger(__name__)


class Quota:
    """Count the bytes of all replicas, and choose the least recently used ones to evict.

    Parameters
    ----------
    directory : Path
        The cache; files of earlier runs count.
    max_bytes : int
        Bytes that all files together may take; 0 for no limit.
    limits : CacheLimits
        Above which part of that replicas are evicted, and down to which.

    Attributes
    ----------
    evictions, evicted : int
        Replicas that were chosen to be evicted, and their bytes.
    kept : frozenset of Path
        Directories of datasets of which no replica is evicted.
    """

    def __init__(
        self, directory: Path, max_bytes: int, limits: CacheLimits = DEFAULTS.cache
    ) -> None:
        self._max = max_bytes
        self._high, self._low = limits.quota_high, limits.quota_low
        self.evictions = self.evicted = 0
        self._reserved = 0
        self.kept: frozenset[Path] = frozenset()
        self._lock = threading.Lock()
        self._sizes: OrderedDict[Path, int] = OrderedDict()
        if max_bytes:
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
    def max_bytes(self) -> int:
        """Bytes that all may take together; 0 for no limit."""
        return self._max

    @property
    def _room(self) -> int:
        return max(self._max - self._reserved, 0)

    def counts(self, base: Path) -> bool:
        """Return whether a replica is counted: its files are there, as far as is known."""
        return base in self._sizes

    def has_room(self, size: int) -> bool:
        """Return whether a number of bytes fits without evicting anything."""
        return not self._max or self._used + size <= self._room * self._high // 100

    def reserve(self, size: int) -> None:
        """Set the bytes of the quota that are used by other than replicas, and never evicted."""
        self._reserved = size

    def touch(self, base: Path) -> None:
        """Mark a replica as the most recently used one."""
        if self._max:
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
            if self._max and self._used + size > self._room:
                raise OSError(errno.EDQUOT, f"the quota of {self._max} bytes is used up")
            self._sizes[base] = self._sizes.get(base, 0) + size
            self._used += size

    def settle(self, base: Path, size: int) -> None:
        """Count a replica's bytes anew, which its files have now."""
        with self._lock:
            self._used += size - self._sizes.get(base, 0)
            self._sizes[base] = size

    def drop(self, base: Path) -> None:
        """Stop counting a replica whose files were removed."""
        with self._lock:
            self._used -= self._sizes.pop(base, 0)

    def to_evict(self, size: int, keep: Path) -> list[Path]:
        """Choose the replicas to evict, to make room for some bytes of another one."""
        with self._lock:
            if self.has_room(size):
                return []
            excess = self._used + size - self._room * self._low // 100
            chosen: list[Path] = []
            for base, taken in self._sizes.items():
                if excess <= 0:
                    break
                if base != keep and base.parent not in self.kept:
                    chosen.append(base)
                    excess -= taken
                    self.evicted += taken
            self.evictions += len(chosen)
            return chosen
