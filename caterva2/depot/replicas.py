"""Replicas: versions of datasets on this machine, read at local speed and filled over REST.

A replica is shared by all processes that use the cache. One that stores, seals or removes holds the
lock of the dataset; readers have none: a record of the index counts once its chunk is there, and
each process verifies a chunk when it first reads it.
"""

from __future__ import annotations

import contextlib
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
from caterva2.client.errors import HttpError, PreconditionFailed, Unreachable
from caterva2.client.read.region import Region
from caterva2.client.read.values import Source
from caterva2.client.transport import Transport
from caterva2.depot import arriving, needs
from caterva2.depot.locks import Locks
from caterva2.depot.mapped import MappedHandles
from caterva2.depot.room import Room
from caterva2.errors import CatervaError, SourceCorrupt, StaleVersion
from caterva2.frames import proof
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import MIB
from caterva2.model import DatasetInfo
from caterva2.names import RootName, parse_full
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
_KNOWN = DEFAULTS.cache.open_replicas
"""Replicas that stay open, each with two files."""


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
        self._room_of = quota, is_pinned
        self._scope = ReadScope()
        self._scope.handles = MappedHandles(DEFAULTS.cache.handles)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._guard = threading.Lock()
        quota, is_pinned = self._room_of
        self.room = Room(self._directory, quota, self._locks, is_pinned, self._let_go)
        self._store = Store(self._directory)
        self._known: Lru[Source, tuple[Replica, Path]] = Lru(_KNOWN)
        self._looked: dict[int, float] = {}

    # --- reading ---

    def values(self, source: Source, region: Region, field: str = "") -> Values | None:
        """Return the values of a region, as `caterva2.client.kept.Kept.values` says."""
        wanted = needs.wanted(region)
        path = (field,) if field else ()
        for _ in range(_TRIES):
            replica = self.of(source)
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
        grid = zip(source.shape, source.chunks, strict=True)
        if not 0 <= n < math.prod(-(-size // chunk) for size, chunk in grid):
            return None  # the subscriber knows what that is
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
            grid = replica.info.chunks
            ids = () if replica.trusted else replica.verify(box(wanted, grid).chunk_ids)
            array = None if len(ids) else self._scope.handles.array(replica)
            if array is not None:
                # Another process may have sealed it anew; it is read chunk by chunk below then.
                with contextlib.suppress(*proof.DECODING):
                    return _owned(pick(slices.cut(array, wanted), path), path)
        return slices.values(replica, wanted, path, self._scope)

    # --- filling ---

    def _filled(
        self, source: Source, replica: Replica | None, wanted: Selection | Points
    ) -> Replica | None:
        """Fetch the chunks that a read needs; None if the subscriber is to be asked instead."""
        ids = needs.chunk_ids(source, wanted)
        missing = ids if replica is None else replica.missing(ids)
        if len(missing):
            size = len(missing) * needs.chunk_bytes(source, replica)
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
        replica = self.of(source)
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
        except HttpError as error:
            if error.status_code not in (403, 404, 410):
                raise
            return None  # refused, or an older subscriber: asking for the values tells which
        except Unreachable as error:
            raise Unreachable(
                f"{source.path}: {len(missing)} chunks are not in the cache, and {error}"
            ) from None
        return replica

    def _stored(self, source: Source, info: DatasetInfo, part: arriving.Part) -> Replica | None:
        """Store what arrived, unless another process did; in memory if it can't be written."""
        root, path = parse_full(source.path)
        base = self._store.base_of(root, path, info.etag)
        with self._locks.of(base.parent.name[:2]) as owned:
            if not owned:
                return None
            written = 0 if base.with_suffix(".index").exists() else Index.size_of(info)
            replica = self._current(root, info)
            if not needs.fits(replica.info, source, path):  # the same etag for another array
                self._store.remove(base)
                replica = self._store.replica(root, info)
            written += arriving.store(replica, part)
            if replica.file is not None and replica.complete:
                _seal(replica)
        self._know(source, (replica, base))
        return replica if self.room.wrote(written, base) else None

    def _current(self, root: RootName, info: DatasetInfo) -> Replica:
        """Return the replica of a version as it is on the disk now."""
        replica = self._store.replica(root, info)
        if replica.catch_up() or replica.file is None:
            return replica
        self._store.let_go(replica)
        return self._store.replica(root, info)

    def _know(self, source: Source, found: tuple[Replica, Path]) -> None:
        self.room.touch(found[1])
        with self._guard:
            self._known.put(source, found)

    def _let_go(self, base: Path) -> None:
        """Let go of an open replica whose files were removed: they keep their room until then."""
        with self._guard:
            for key in self._known:
                found = self._known.peek(key)
                if found is not None and found[1] == base:
                    self._known.pop(key)
                    self._store.let_go(found[0])

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

    def is_complete(self, path: str, etag: str) -> bool:
        """Return whether all of a version of a dataset is in the cache."""
        if self._process != os.getpid():  # as in `of`
            self._begin()
        index = self._store.base_of(*parse_full(path), etag).with_suffix(".index")
        locked = self._locks.of(index.parent.name[:2])
        with locked as owned, contextlib.suppress(CatervaError, OSError):
            found = self._store.existing(*Index.describe(index)) if owned else None
            return found is not None and found.complete
        return False

    def of(self, source: Source) -> Replica | None:
        """Return the replica of a version if there is one."""
        if self._process != os.getpid():  # a thread of the parent may have held a lock
            self._begin()
        known = self._known.get(source)
        if known is None:
            known = self._opened(source)
            if known is None:
                return None
            self._know(source, known)
        elif not self.room.touch(known[1]) and known[0].file is not None:
            self._let_go(known[1])
            return self.of(source)
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
            fits = info is not None and needs.fits(info, source, path)
            return (self._store.replica(root, info), base) if info is not None and fits else None

    def forget(self, path: str) -> None:
        """Remove all versions of a dataset, or of the datasets below a directory or root."""
        for index in self._directory.glob("*/*/*.index"):
            full = _named(index)
            if full == path or full.startswith(f"{path}/"):
                self._remove(index)

    def keep_only(self, path: str, etag: str) -> None:
        """Remove all versions of a dataset but one."""
        base = self._store.base_of(*parse_full(path), etag)
        for index in base.parent.glob("*.index"):
            if index.with_suffix("") != base:
                self._remove(index)

    def _remove(self, index: Path) -> None:
        base = index.with_suffix("")
        self._let_go(base)
        with self._locks.of(index.parent.name[:2]):
            self._store.remove(base)

    def close(self) -> None:
        """Let go of all replicas."""
        with self._guard:
            self._known.clear()
        self._store.close()


def _named(index: Path) -> str:
    """Return the path of the dataset of an index; empty if it is damaged."""
    try:
        root, info = Index.describe(index)
    except (CatervaError, OSError):
        return ""
    return f"{root}/{info.path}"


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
