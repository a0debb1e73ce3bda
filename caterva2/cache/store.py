"""All replicas of a subscriber, in directories whose names are digests, never input.

``cache/HH/DATASET/VERSION.{part,b2nd,b2frame,index}``, where DATASET is a digest of root and
path and VERSION one of the etag.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import threading
from collections import OrderedDict
from pathlib import Path
from weakref import WeakValueDictionary

from caterva2 import limits
from caterva2.cache.index import Index
from caterva2.cache.replica import Replica
from caterva2.errors import CatervaError, SourceCorrupt
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName

log = logging.getLogger(__name__)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


class Store:
    """The replicas below a directory; all methods may be called from any thread.

    Parameters
    ----------
    directory : Path
        Made if it does not exist.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        # A replica must never be open twice, so the ones that somebody still reads are found
        # here even after they fell out of those that are kept open.
        self._open: WeakValueDictionary[Path, Replica] = WeakValueDictionary()
        self._recent: OrderedDict[Path, Replica] = OrderedDict()
        directory.mkdir(parents=True, exist_ok=True)

    def opened(self, root: RootName, info: DatasetInfo) -> Replica | None:
        """The replica of a version of a dataset, if it is open already. Does not block."""
        return self._open.get(self._dataset(root, info.path) / _digest(info.etag))

    def replica(self, root: RootName, info: DatasetInfo) -> Replica:
        """The replica of a version of a dataset, made if there is none yet.

        Raises
        ------
        OSError
            If it can't be made.
        """
        base = self._dataset(root, info.path) / _digest(info.etag)
        with self._lock:
            replica = self._open.get(base)
            if replica is None:
                replica = self._load(base, root, info)
                self._open[base] = replica
            self._recent[base] = replica
            self._recent.move_to_end(base)
            while len(self._recent) > limits.OPEN_REPLICAS:
                self._recent.popitem(last=False)
        return replica

    def _load(self, base: Path, root: RootName, info: DatasetInfo) -> Replica:
        path = base.with_suffix(".index")
        if path.exists():
            try:
                index = Index.open(path)
                if index.info.etag == info.etag and index.root == root:
                    return Replica(index, base)
                index.close()
            except (CatervaError, OSError) as error:
                log.warning("the replica of %s/%s starts anew: %s", root, info.path, error)
            _remove_files(base)
        base.parent.mkdir(parents=True, exist_ok=True)
        return Replica(Index.create(path, root, info), base)

    def known_versions(self, root: RootName, path: DatasetPath) -> list[DatasetInfo]:
        """Descriptions of the versions of a dataset that something is cached of."""
        found: list[DatasetInfo] = []
        with contextlib.suppress(FileNotFoundError):
            for file in self._dataset(root, path).glob("*.index"):
                with contextlib.suppress(SourceCorrupt, OSError):
                    found.append(Index.describe(file)[1])
        return found

    def forget(self, root: RootName, path: DatasetPath, keep_etag: str = "") -> None:
        """Remove the replicas of a dataset but that of one version.

        Whoever reads one of them now keeps its open files until it is done.
        """
        directory = self._dataset(root, path)
        kept = _digest(keep_etag) if keep_etag else ""
        with self._lock:
            for base in [b for b in self._recent if b.parent == directory and b.name != kept]:
                del self._recent[base]
            for base in [b for b in self._open if b.parent == directory and b.name != kept]:
                del self._open[base]
            if not kept:
                shutil.rmtree(directory, ignore_errors=True)
            elif directory.is_dir():
                for file in directory.iterdir():
                    if file.stem != kept:
                        file.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of all replicas."""
        with self._lock:
            self._recent.clear()
            self._open.clear()

    def _dataset(self, root: RootName, path: DatasetPath) -> Path:
        name = _digest(root, path)
        return self._directory / name[:2] / name


def _remove_files(base: Path) -> None:
    for file in base.parent.glob(base.name + ".*"):
        file.unlink(missing_ok=True)
