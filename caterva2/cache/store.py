"""All replicas of a subscriber, in directories whose names are digests, never input.

``cache/HH/DATASET/VERSION.{part,b2nd,b2frame,index}``, where DATASET is a digest of root and
path and VERSION one of the etag.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from caterva2 import limits
from caterva2.cache.index import Index
from caterva2.cache.maps import Maps
from caterva2.cache.overlay import Overlay
from caterva2.cache.parts import Parts
from caterva2.cache.quota import Quota
from caterva2.cache.replica import Replica
from caterva2.errors import CatervaError, SourceCorrupt
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName

log = logging.getLogger(__name__)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class _Room:
    """The room of one replica in the store."""

    store: Store
    base: Path

    def take(self, size: int) -> None:
        self.store.make_room(self.base, size)


class Store:
    """The replicas below a directory; all methods may be called from any thread.

    Parameters
    ----------
    directory : Path
        Made if it does not exist.
    quota : int
        Bytes that all files together may take; 0 is without a limit.
    """

    def __init__(self, directory: Path, quota: int = 0) -> None:
        self._directory = directory
        self._lock = threading.RLock()
        # A replica must never be open twice, so the ones that somebody still reads are found
        # here even after they fell out of those that are kept open.
        self._open: WeakValueDictionary[Path, Replica] = WeakValueDictionary()
        self._recent: OrderedDict[Path, Replica] = OrderedDict()
        self._overlay = Overlay()
        self._parts = Parts()
        self._maps = Maps()
        directory.mkdir(parents=True, exist_ok=True)
        self.quota = Quota(directory, quota)

    def opened(self, root: RootName, info: DatasetInfo) -> Replica | None:
        """The replica of a version of a dataset, if it is open already. Does not block."""
        base = self._base(root, info)
        if base in self._recent:
            with contextlib.suppress(KeyError):  # another thread may just have let go of it
                self._recent.move_to_end(base)
        return self._open.get(base)

    def existing(self, root: RootName, info: DatasetInfo) -> Replica | None:
        """The replica of a version of a dataset, if something was ever cached of it."""
        if self._base(root, info).with_suffix(".index").exists():
            return self.replica(root, info)
        return None

    def replica(self, root: RootName, info: DatasetInfo) -> Replica:
        """The replica of a version of a dataset, made if there is none yet.

        Where the disk refuses to make one, it lives in memory and passes chunks through.
        """
        base = self._base(root, info)
        with self._lock:
            replica = self._open.get(base)
            if replica is None:
                replica = self._load_or_do_without(base, root, info)
                self._open[base] = replica
            self._recent[base] = replica
            self._recent.move_to_end(base)
            while len(self._recent) > limits.OPEN_REPLICAS:
                self._recent.popitem(last=False)
        return replica

    def _load_or_do_without(self, base: Path, root: RootName, info: DatasetInfo) -> Replica:
        try:
            replica = self._load(base, root, info)
            self.quota.touch(base)
        except OSError as error:
            log.error("%s/%s is not cached: %s", root, info.path, error)
            return Replica(
                Index.in_memory(root, info), None, self._overlay, None, self._parts, self._maps
            )
        return replica

    def _load(self, base: Path, root: RootName, info: DatasetInfo) -> Replica:
        path, room = base.with_suffix(".index"), _Room(self, base)
        if path.exists():
            try:
                index = Index.open(path)
                if index.info.etag == info.etag and index.root == root:
                    return Replica(index, base, self._overlay, room, self._parts, self._maps)
                index.close()
            except CatervaError as error:
                log.warning("the replica of %s/%s starts anew: %s", root, info.path, error)
            self._remove(base)
        base.parent.mkdir(parents=True, exist_ok=True)
        self.make_room(base, Index.size_of(info))
        return Replica(
            Index.create(path, root, info), base, self._overlay, room, self._parts, self._maps
        )

    def known_versions(self, root: RootName, path: DatasetPath) -> list[DatasetInfo]:
        """Descriptions of the versions of a dataset that something is cached of."""
        found: list[DatasetInfo] = []
        with contextlib.suppress(FileNotFoundError):
            for file in _dataset(self._directory, root, path).glob("*.index"):
                with contextlib.suppress(SourceCorrupt, OSError):
                    found.append(Index.describe(file)[1])
        return found

    def make_room(self, base: Path, size: int) -> None:
        """Count bytes that are about to be written, after others made room for them.

        Raises
        ------
        OSError
            If there is no room.
        """
        self._evict(size, base)
        self.quota.take(base, size)

    def reserve(self, size: int) -> None:
        """Leave so many bytes of the quota to what is no replica."""
        self.quota.reserve(size)
        self._evict(0, self._directory)

    def _evict(self, size: int, keep: Path) -> None:
        for other in self.quota.to_evict(size, keep):
            log.info("evicting %s", other.name)
            self.remove(other)

    def forget(self, root: RootName, path: DatasetPath, keep_etag: str = "") -> None:
        """Remove the replicas of a dataset but that of one version.

        Whoever reads one of them now keeps its open files until it is done.
        """
        directory = _dataset(self._directory, root, path)
        kept = _digest(keep_etag) if keep_etag else ""
        stems = {file.with_suffix("") for file in directory.glob("*")}
        for base in stems:
            if base.name != kept:
                self.remove(base)
        if not kept:
            with contextlib.suppress(OSError):
                directory.rmdir()

    def remove(self, base: Path) -> None:
        """Remove the files of a replica."""
        with self._lock:
            self._recent.pop(base, None)
            replica = self._open.pop(base, None)
            if replica is not None:
                replica.retire()
            self._remove(base)

    def _remove(self, base: Path) -> None:
        for file in base.parent.glob(base.name + ".*"):
            file.unlink(missing_ok=True)
        self.quota.drop(base)

    def close(self) -> None:
        """Let go of all replicas."""
        with self._lock:
            self._recent.clear()
            self._open.clear()

    def _base(self, root: RootName, info: DatasetInfo) -> Path:
        return _base(self._directory, root, info.path, info.etag)


def _dataset(directory: Path, root: RootName, path: DatasetPath) -> Path:
    name = _digest(root, path)
    return directory / name[:2] / name


@functools.lru_cache(maxsize=4 * limits.OPEN_REPLICAS)  # asked for by each read
def _base(directory: Path, root: RootName, path: DatasetPath, etag: str) -> Path:
    return _dataset(directory, root, path) / _digest(etag)
