"""All replicas of a subscriber, in directories whose names are digests, never input.

``cache/HH/DATASET/VERSION.{part,b2nd,b2frame,index}``, where DATASET is a digest of root and
path and VERSION one of the etag.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from caterva2.cache import succession
from caterva2.cache.index import Index
from caterva2.cache.memory.memory import Memory
from caterva2.cache.quota import Quota
from caterva2.cache.replica import Replica
from caterva2.cache.tally import Tally
from caterva2.errors import CatervaError, SourceCorrupt
from caterva2.limits import DEFAULTS, CacheLimits
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.lru import Lru

log = logging.getLogger(__name__)
_BASES = 1024
"""Paths that are remembered: each read needs one, and making it takes four digests."""


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class _Room:
    """Grant room to one replica of a store."""

    store: Store
    base: Path

    def take(self, size: int) -> None:
        self.store.make_room(self.base, size)

    def settle(self) -> None:
        self.store.settle(self.base)


class Store:
    """The replicas below a directory. All methods may be called from any thread.

    Parameters
    ----------
    directory : Path
        Made if it does not exist.
    quota : int
        Bytes that all files together may take; 0 for no limit.
    limits : CacheLimits

    Attributes
    ----------
    quota : Quota
    tally : Tally
    """

    def __init__(
        self, directory: Path, quota: int = 0, limits: CacheLimits = DEFAULTS.cache
    ) -> None:
        self._directory = directory
        self._lock = threading.RLock()
        # A replica must never be open twice, so those that are still read are found here even
        # after they fell out of those that are kept open.
        self._open: WeakValueDictionary[Path, Replica] = WeakValueDictionary()
        self._recent: Lru[Path, Replica] = Lru(limits.open_replicas)
        self._memory = Memory(limits)
        directory.mkdir(parents=True, exist_ok=True)
        self.quota = Quota(directory, quota, limits)
        self.tally = Tally(directory, _dataset)

    def opened(self, root: RootName, info: DatasetInfo) -> Replica | None:
        """Return the replica of a version of a dataset if it is open, without blocking."""
        base = self._base(root, info)
        replica = self._recent.get(base)
        return replica if replica is not None else self._open.get(base)

    def existing(
        self, root: RootName, info: DatasetInfo, *, newest: bool = False
    ) -> Replica | None:
        """Open the replica of a version of a dataset, None if nothing was ever cached of it."""
        if self._base(root, info).with_suffix(".index").exists():
            return self.replica(root, info, newest=newest)
        return None

    def replica(self, root: RootName, info: DatasetInfo, *, newest: bool = False) -> Replica:
        """Open the replica of a version of a dataset, or make a new one.

        Where the disk refuses to make one, it lives in memory and passes chunks through.

        Parameters
        ----------
        root : RootName
        info : DatasetInfo
        newest : bool
            Whether no later version is known: a new replica of it takes over what the former
            version's replica has.
        """
        base = self._base(root, info)
        with self._lock:
            replica = self._open.get(base)
            if replica is None:
                replica = self._load_or_do_without(base, root, info, newest)
                self._open[base] = replica
            self._recent.put(base, replica)
        return replica

    def _load_or_do_without(
        self, base: Path, root: RootName, info: DatasetInfo, newest: bool
    ) -> Replica:
        try:
            replica = self._load(base, root, info) or self._make(base, root, info, newest)
            self.quota.touch(base)
        except OSError as error:
            log.error("%s/%s is not cached: %s", root, info.path, error)
            return Replica(Index.in_memory(root, info), None, self._memory)
        return replica

    def _load(self, base: Path, root: RootName, info: DatasetInfo) -> Replica | None:
        path = base.with_suffix(".index")
        if not path.exists() or succession.data_file(base) is None:
            return None
        try:
            index = Index.open(path)
            same = (index.info.etag, index.info.kind) == (info.etag, info.kind)
            if same and index.root == root:
                return Replica(index, base, self._memory, _Room(self, base))
            index.close()
        except CatervaError as error:
            log.warning("the replica of %s/%s starts anew: %s", root, info.path, error)
        return None

    def _make(self, base: Path, root: RootName, info: DatasetInfo, newest: bool) -> Replica:
        index, known = None, base.parent.exists()
        if known:
            self._remove(base)
        base.parent.mkdir(parents=True, exist_ok=True)
        self.make_room(base, Index.size_of(info))
        if known and newest:
            index = self._inherit(base, root, info)
        if index is None:
            index = Index.create(base.with_suffix(".index"), root, info)
        return Replica(index, base, self._memory, _Room(self, base))

    def _inherit(self, base: Path, root: RootName, info: DatasetInfo) -> Index | None:
        """Take over what the former version's replica has; None if that is of no use."""
        for former in succession.versions(base.parent):
            if former.base == base or not former.has_data or not former.may_share_with(root, info):
                continue
            replica = self._open.get(former.base)
            try:
                index = former.hand_over(base, info, replica)
            except (OSError, SourceCorrupt) as error:
                log.warning("%s/%s shares no chunks: %s", root, info.path, error)
                continue
            self.remove(former.base)
            self.settle(base)
            return index
        return None

    def keeps_description(self, root: RootName, info: DatasetInfo) -> bool:
        """Return whether `keep_description` has nothing to do, without blocking."""
        return self.quota.counts(self._base(root, info))

    def keep_description(self, root: RootName, info: DatasetInfo) -> None:
        """Keep the description of what has no chunks for `known_versions`."""
        base = self._base(root, info)
        path = base.with_suffix(".index")
        with self._lock:
            if path.exists():
                self.settle(base)
                return
            try:
                base.parent.mkdir(parents=True, exist_ok=True)
                self.make_room(base, Index.size_of(info))
                Index.create(path, root, info).close()
            except OSError as error:
                self.quota.drop(base)
                log.error("the description of %s/%s is not kept: %s", root, info.path, error)

    def known_versions(self, root: RootName, path: DatasetPath) -> list[DatasetInfo]:
        """Read the descriptions of the cached versions of a dataset."""
        name = directory_name(root, path)
        if not os.access(f"{self._directory}/{name[:2]}/{name}", os.F_OK):
            return []  # of most datasets nothing is cached; a `Path` takes longer than this call
        return [
            version.info for version in succession.versions(_dataset(self._directory, root, path))
        ]

    def make_room(self, base: Path, size: int) -> None:
        """Count bytes that are about to be written, after evicting others to make room.

        Raises
        ------
        OSError
            If there is no room.
        """
        self._evict(size, base)
        self.quota.take(base, size)

    def settle(self, base: Path) -> None:
        """Count the bytes that the files of a replica have now."""
        size = 0
        for file in base.parent.glob(base.name + ".*"):
            with contextlib.suppress(FileNotFoundError):  # it is renamed or removed meanwhile
                size += file.stat().st_size
        self.quota.settle(base, size)

    def reserve(self, size: int) -> None:
        """Reserve bytes of the quota for what is not a replica."""
        self.quota.reserve(size)
        self._evict(0, self._directory)

    def keep(self, datasets: Iterable[tuple[RootName, DatasetPath]]) -> None:
        """Evict replicas of some datasets no more, and those of all others again. Blocks."""
        self.quota.kept = frozenset(_dataset(self._directory, *one) for one in datasets)

    def _evict(self, size: int, keep: Path) -> None:
        for other in self.quota.to_evict(size, keep):
            log.info("evicting %s", other.name)
            self.remove(other)

    def forget(self, root: RootName, path: DatasetPath, keep_etag: str = "") -> None:
        """Remove the replicas of a dataset except that of one version.

        While there is none of that, the last one stays, since it may share chunks with it. Readers
        keep the open files until they are done.
        """
        directory = _dataset(self._directory, root, path)
        kept = {directory / _digest(keep_etag)} if keep_etag else set()
        with self._lock:
            if not all(map(succession.data_file, kept)):
                last = (one.base for one in succession.versions(directory) if one.has_data)
                kept.update(itertools.islice(last, 1))
            for base in {file.with_suffix("") for file in directory.glob("*")} - kept:
                self.remove(base)
        if not keep_etag:
            with contextlib.suppress(OSError):
                directory.rmdir()

    def remove(self, base: Path) -> None:
        """Remove the files of a replica."""
        with self._lock:
            self._recent.pop(base)
            replica = self._open.pop(base, None)
            if replica is not None:
                replica.retire()
            self._remove(base)

    def _remove(self, base: Path) -> None:
        for file in base.parent.glob(base.name + ".*"):
            file.unlink(missing_ok=True)
        self.quota.drop(base)

    def let_go(self, replica: Replica) -> None:
        """Forget an open replica whose files another process removed or replaced."""
        base = self._base(replica.root, replica.info)
        with self._lock:
            self._recent.pop(base)
            self._open.pop(base, None)
            replica.retire()

    def base_of(self, root: RootName, path: DatasetPath, etag: str) -> Path:
        """Return the path of the files of a version, without a suffix."""
        return _base(self._directory, root, path, etag)

    def close(self) -> None:
        """Let go of all replicas."""
        with self._lock:
            self._recent.clear()
            self._open.clear()

    def _base(self, root: RootName, info: DatasetInfo) -> Path:
        return _base(self._directory, root, info.path, info.etag)


def directory_name(root: RootName, path: DatasetPath) -> str:
    """Return the name of the directory with the replicas of a dataset."""
    return _digest(root, path)


def _dataset(directory: Path, root: RootName, path: DatasetPath) -> Path:
    name = directory_name(root, path)
    return directory / name[:2] / name


@functools.lru_cache(maxsize=_BASES)
def _base(directory: Path, root: RootName, path: DatasetPath, etag: str) -> Path:
    return _dataset(directory, root, path) / _digest(etag)
