"""Replicas: versions of datasets on this machine, read at local speed and filled over REST.

A replica is shared by all processes that use the cache. One that stores, seals or removes holds the
lock of the dataset; readers have none: a record of the index counts once its chunk is there, and
each process verifies a chunk when it first reads it.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.arrays import points as indices
from caterva2.arrays.fields import pick
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection, box
from caterva2.cache.index import Index
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.client.errors import Missing, PreconditionFailed, Unreachable
from caterva2.client.read.region import Region
from caterva2.client.read.values import Source
from caterva2.client.transport import Transport
from caterva2.depot import arriving
from caterva2.depot.locks import Locks
from caterva2.depot.mapped import MappedHandles
from caterva2.depot.room import Room
from caterva2.errors import CatervaError, SourceCorrupt, StaleVersion
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import MIB
from caterva2.model import DatasetInfo
from caterva2.names import parse_full
from caterva2.reading import points as gathering
from caterva2.reading import slices
from caterva2.reading.scope import ReadScope
from caterva2.runtime.lru import Lru

Ids = npt.NDArray[np.int64]
Values = npt.NDArray[Any]
FEW_BYTES = 32 * MIB
"""Bytes of missing chunks that are fetched for any read."""
TIMES = 16
"""Times as many bytes as those of the values that are fetched for these; the subscriber is asked
for the values where it would be more."""
_TRIES = 3
_LOOKED = 1.0  # seconds between two looks at whether another process completed a replica
_KNOWN = 1024


class Replicas:
    """The replicas of one user of a subscriber. All methods may be called from any thread.

    Parameters
    ----------
    transport : Transport
        To fetch what is missing.
    directory : Path
    quota : int
        Bytes of all replicas; 0 for no limit.
    is_pinned : callable
        Whether a dataset is never evicted, by the name of its directory.
    """

    def __init__(
        self, transport: Transport, directory: Path, quota: int, is_pinned: Callable[[str], bool]
    ) -> None:
        self._transport = transport
        self._directory = directory / "replicas"
        self._locks = Locks(directory / "locks")
        self.room = Room(self._directory, quota, self._locks, is_pinned)
        self._scope = ReadScope()
        self._scope.handles = MappedHandles(DEFAULTS.cache.handles)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._guard = threading.Lock()
        self._store = Store(self._directory)
        self._known: Lru[tuple[str, str], tuple[Replica, Path]] = Lru(_KNOWN)
        self._looked: dict[int, float] = {}

    # --- reading ---

    def values(self, source: Source, region: Region, field: str = "") -> Values | None:
        """Return the values of a region, as `caterva2.client.kept.Kept.values` says."""
        wanted = _wanted(region)
        path = (field,) if field else ()
        for _ in range(_TRIES):
            replica = self._of(source)
            if replica is None or not replica.trusted:
                replica = self._filled(source, replica, wanted)
                if replica is None:
                    return None
            try:
                if isinstance(wanted, Selection):
                    found = self._cut(replica, wanted, path)
                else:
                    groups = indices.group(wanted, replica.info.chunks)
                    found = gathering.values(replica, wanted, groups, path, self._scope)
            except SourceCorrupt as error:
                if not replica.drop(error.info.get("chunk")):
                    raise
                continue
            if found is not None:
                return found
        return None

    def chunk(self, source: Source, n: int) -> bytes | None:
        """Return a chunk, fetched if it is missing; None if it can't be kept."""
        ids = np.array([n], np.int64)
        for _ in range(_TRIES):
            replica = self.ensure(source, ids)
            found = None if replica is None else replica.read(ids)
            if found is not None:
                return found[0]
        return None

    def _cut(self, replica: Replica, wanted: Selection, path: tuple[str, ...]) -> Values | None:
        """Read a slice, of a complete array as a whole: no event loop waits for the interpreter."""
        if slices.is_open(replica):
            ids = (
                ()
                if replica.trusted
                else replica.verify(box(wanted, replica.info.chunks).chunk_ids)
            )
            array = None if len(ids) else self._scope.handles.array(replica)
            if array is not None:
                return _owned(pick(slices.cut(array, wanted), path), path)
        return slices.values(replica, wanted, path, self._scope)

    # --- filling ---

    def _filled(
        self, source: Source, replica: Replica | None, wanted: Selection | Points
    ) -> Replica | None:
        """Fetch the chunks that a read needs; None if the subscriber is to be asked instead."""
        ids = _ids(source, wanted)
        missing = ids if replica is None else replica.missing(ids)
        if len(missing):
            size = len(missing) * _chunk_bytes(source, replica)
            if size > max(FEW_BYTES, TIMES * wanted.size * source.dtype.itemsize):
                return None
        return self.ensure(source, missing)

    def ensure(
        self, source: Source, ids: Ids, progress: Callable[[int], None] = lambda _: None
    ) -> Replica | None:
        """Fetch those of some chunks that are missing.

        Parameters
        ----------
        source : Source
        ids : ndarray
            Ascending.
        progress : callable
            Called with the bytes of each part that arrived.

        Returns
        -------
        Replica or None
            None where the subscriber does not send chunks, or there is no room for a replica.

        Raises
        ------
        StaleVersion
            If the dataset has another version.
        Unreachable
            If the subscriber can't be reached.
        """
        replica = self._of(source)
        missing = ids if replica is None else replica.missing(ids)
        if not len(missing) and replica is not None:
            self._look(replica)
            return replica
        try:
            for info, part in arriving.fetched(self._transport, source, missing):
                replica = self._stored(source, info, part)
                if replica is None:
                    return None
                progress(len(part.payload))
        except PreconditionFailed:
            raise StaleVersion(f"{source.path} has another version") from None
        except Missing:  # gone, or an older subscriber; asking for the values tells which
            return None
        except Unreachable as error:
            raise Unreachable(
                f"{source.path}: {len(missing)} chunks are not in the cache, and {error}"
            ) from None
        return replica

    def _stored(self, source: Source, info: DatasetInfo, part: arriving.Part) -> Replica | None:
        """Store what arrived, unless another process did; in memory if it can't be written."""
        root, path = parse_full(source.path)
        if info.etag != source.version or info.path != path:
            raise Unreachable(f"received chunks of {info.path} {info.etag} for {source.path}")
        base = self._store.base_of(root, path, info.etag)
        with self._locks.of(base.parent.name[:2]) as owned:
            if not owned:
                return None
            replica = self._store.replica(root, info)
            if not replica.catch_up() and replica.file is not None:
                self._store.let_go(replica)
                replica = self._store.replica(root, info)
            written = arriving.store(replica, part)
            if replica.file is not None and replica.complete:
                _seal(replica)
        self._known.put((source.path, source.version), (replica, base))
        self.room.wrote(written, base)
        return replica

    def _look(self, replica: Replica) -> None:
        """See whether another process completed a replica, if it is not complete here."""
        now = time.monotonic()
        if replica.sealed is not None or now < self._looked.get(id(replica), 0.0):
            return
        if len(self._looked) > _KNOWN:
            self._looked.clear()
        self._looked[id(replica)] = now + _LOOKED
        base = self._store.base_of(replica.root, replica.info.path, replica.info.etag)
        with self._locks.of(base.parent.name[:2]) as owned:
            if owned and replica.catch_up() and replica.complete:
                _seal(replica)

    # --- what there is ---

    def _of(self, source: Source) -> Replica | None:
        """Return the replica of a version if there is one."""
        if self._process != os.getpid():  # a thread of the parent may have held a lock
            self._begin()
        key = source.path, source.version
        known = self._known.get(key)
        if known is None:
            known = self._opened(source)
            if known is None:
                return None
            self._known.put(key, known)
        self.room.touch(known[1])
        return known[0]

    def _opened(self, source: Source) -> tuple[Replica, Path] | None:
        root, path = parse_full(source.path)
        base = self._store.base_of(root, path, source.version)
        index = base.with_suffix(".index")
        if not index.exists():
            return None
        with self._locks.of(base.parent.name[:2]) as owned:
            try:
                info = Index.describe(index)[1] if owned else None
            except (CatervaError, OSError):
                return None
            fits = info is not None and (info.etag, info.path) == (source.version, path)
            return (self._store.replica(root, info), base) if info is not None and fits else None

    def forget(self, path: str) -> None:
        """Remove all versions of a dataset, or of the datasets below a directory or root."""
        for index in self._directory.glob("*/*/*.index"):
            full, _ = _named(index)
            if full == path or full.startswith(f"{path}/"):
                self._remove(index)

    def keep_only(self, path: str, etag: str) -> None:
        """Remove all versions of a dataset but one."""
        base = self._store.base_of(*parse_full(path), etag)
        for index in base.parent.glob("*.index"):
            if index.with_suffix("") != base:
                self._remove(index)

    def _remove(self, index: Path) -> None:
        self._known.pop(_named(index))
        with self._locks.of(index.parent.name[:2]):
            self._store.remove(index.with_suffix(""))

    def close(self) -> None:
        """Let go of all replicas."""
        self._known.clear()
        self._store.close()


def _named(index: Path) -> tuple[str, str]:
    """Return the dataset and the version of an index; empty if it is damaged."""
    try:
        root, info = Index.describe(index)
    except (CatervaError, OSError):
        return "", ""
    return f"{root}/{info.path}", info.etag


def _seal(replica: Replica) -> None:
    try:
        replica.seal()
        replica.keep(flush=False)
    except OSError as error:
        replica.write_error = error.strerror or str(error)


def _owned(values: Values, path: tuple[str, ...]) -> Values:
    return (
        np.array(values, order="C") if path else np.ascontiguousarray(values).reshape(values.shape)
    )


def _wanted(region: Region) -> Selection | Points:
    if not region.is_fancy:
        return region.selection
    axes = tuple(
        axis if isinstance(axis, range) else np.asarray(axis, np.int64) for axis in region.axes
    )
    return Points(region.shape, axes, region.block)


def _ids(source: Source, wanted: Selection | Points) -> Ids:
    """Return the numbers of the chunks that a read needs, in ascending order."""
    if not math.prod(source.shape):
        return np.empty(0, np.int64)
    if isinstance(wanted, Selection):
        return np.unique(box(wanted, source.chunks).chunk_ids)
    groups = indices.group(wanted, source.chunks)
    across = box(wanted.ranges, tuple(source.chunks[n] for n in wanted.ranged)).chunk_ids
    numbers = indices.renumber(across, wanted, source.chunks)
    return np.unique(np.add.outer(groups.bases, numbers).ravel())


def _chunk_bytes(source: Source, replica: Replica | None) -> float:
    """Estimate the stored bytes of a chunk; decoded ones if nothing is known of it."""
    if replica is not None and replica.info.nchunks:
        return replica.info.cbytes / replica.info.nchunks
    return math.prod(source.chunks) * source.dtype.itemsize
