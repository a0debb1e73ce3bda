"""Room: the quota of a cache, kept by its processes together.

Each counts what is on the disk when it begins, and again whenever it has written a share of the
quota; so all of them together exceed it by no more than that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from caterva2.depot.locks import Locks
from caterva2.limits import DEFAULTS
from caterva2.runtime.lru import Lru

log = logging.getLogger(__name__)
SHARE = 1 / 64
"""Share of the quota that a process writes between two counts."""
TOUCHED = 60.0
"""Seconds for which a replica counts as just read."""
_NAME = "quota"
_REMEMBERED = 1024


class Room:
    """The bytes that a directory of replicas may take.

    Parameters
    ----------
    directory : Path
    quota : int
        0 for no limit.
    locks : Locks
    is_pinned : callable
        Whether the dataset of a directory of replicas is never evicted.
    let_go : callable
        Called with the path of a replica that was evicted, without a suffix.
    """

    def __init__(
        self, directory: Path, quota: int, locks: Locks,
        is_pinned: Callable[[str], bool], let_go: Callable[[Path], None],
    ) -> None:  # fmt: skip
        self._directory, self.quota, self._locks = directory, quota, locks
        self._is_pinned, self._let_go = is_pinned, let_go
        self._guard = threading.Lock()
        self._unknown = float("inf") if quota else 0.0
        self._read: Lru[Path, float] = Lru(_REMEMBERED)

    def touch(self, base: Path) -> bool:
        """Note that a replica is read, at most once a minute; return False if it was removed."""
        now = time.monotonic()
        if self._read.get(base, -TOUCHED) + TOUCHED >= now:
            return True
        with self._guard:
            self._read.put(base, now)
        try:
            os.utime(base.with_suffix(".index"))
        except FileNotFoundError:
            return False
        except OSError:
            pass
        return True

    def wrote(self, size: int, keep: Path) -> bool:
        """Note bytes that were written to a replica; evict others where it is time to count.

        Returns
        -------
        bool
            False if that is too large itself, and was evicted.
        """
        with self._guard:
            self._unknown += size
            if not self.quota or self._unknown < self.quota * SHARE:
                return True
            self._unknown = 0.0
        with self._locks.of(_NAME, patience=0) as owned:
            return not owned or self._evict(keep)  # not owned: another process counts just now

    def _evict(self, keep: Path) -> bool:
        found = sorted(self.replicas())
        used = sum(size for _, size, _ in found)
        if used <= self.quota:
            return True
        for _, size, base in found:
            if used <= self.quota * DEFAULTS.cache.quota_low // 100:
                return True
            if base != keep and self._evicted(base):
                used -= size
        return used <= self.quota or not self._evicted(keep)

    def _evicted(self, base: Path) -> bool:
        """Remove a replica, unless it was taken, or is being written."""
        if self._is_pinned(base.parent.name):
            return False
        with self._locks.of(base.parent.name[:2], patience=0) as owned:
            if owned:
                log.info("evicting %s", base.name)
                remove(base)
        if owned:
            self._let_go(base)
        return owned

    def replicas(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each replica was last read, its bytes, and its path without a suffix."""
        found: dict[Path, tuple[float, int]] = {}
        for file in self._directory.glob("*/*/*"):
            with contextlib.suppress(FileNotFoundError):
                status = file.stat()
                base = file.with_suffix("")
                read, size = found.get(base, (0.0, 0))
                used = min(status.st_size, 512 * status.st_blocks + 4096)
                found[base] = max(read, status.st_mtime), size + used
        for base, (read, size) in found.items():
            yield read, size, base


def remove(base: Path) -> None:
    """Remove the files of a replica, its index first: without it there is none."""
    base.with_suffix(".index").unlink(missing_ok=True)
    for file in base.parent.glob(base.name + ".*"):
        file.unlink(missing_ok=True)
