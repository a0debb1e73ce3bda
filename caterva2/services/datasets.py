"""A dataset of a published root, read through the cache."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from caterva2 import indices, limits, selection
from caterva2.cache import gathering, reading
from caterva2.cache.datafile import Sealed
from caterva2.cache.fields import Field, Values
from caterva2.cache.replica import Ids, Replica
from caterva2.cache.touched import spares, touched
from caterva2.errors import CacheFull, NotFound, SourceCorrupt, StaleVersion, TooLarge
from caterva2.indices import Points
from caterva2.model import DatasetInfo
from caterva2.selection import Selection
from caterva2.services.readahead import ReadAhead
from caterva2.services.remoteroot import RemoteRoot

log = logging.getLogger(__name__)
T = TypeVar("T")
Look = Callable[[Replica], Values | None]
"""Reads values out of a replica; None if a chunk turned out not to be there."""
MANY_CHUNKS = 10_000
"""Above so many, listing the chunks of a selection is work for a thread too."""


class ReadPool:
    """The threads that read files and decode, and the sign for them to stop.

    Parameters
    ----------
    workers : int
    """

    def __init__(self, workers: int) -> None:
        self.ended = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="read")

    async def run(self, work: Callable[[], T]) -> T:
        """Do something in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def later(self, work: Callable[[], None]) -> None:
        """Do something in one of the threads, while nobody waits for it."""
        self._pool.submit(work)

    def stop(self) -> None:
        """Give up what has not begun, and have the rest end at its next step."""
        self.ended.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


class RemoteDataset:
    """One version of a dataset.

    Parameters
    ----------
    remote : RemoteRoot
    info : DatasetInfo
    replica : Replica or None
        What is cached of it; None for nothing yet.
    pool : ReadPool
    ahead : ReadAhead
        Told what is read.
    """

    def __init__(
        self,
        remote: RemoteRoot,
        info: DatasetInfo,
        replica: Replica | None,
        pool: ReadPool,
        ahead: ReadAhead,
    ) -> None:
        self.info = info
        self._remote = remote
        self._replica = replica
        self._pool = pool
        self._ahead = ahead
        self._noticed = False  # whoever reads on in this one asked for it all at once

    @property
    def offline(self) -> bool:
        return self._remote.offline

    @property
    def stored(self) -> Sealed | None:
        return self._replica.sealed if self._replica else None

    @property
    def cached_chunks(self) -> int:
        return self._replica.cached_chunks if self._replica else 0

    @property
    def cached_bytes(self) -> int:
        return self._replica.cached_bytes if self._replica else 0

    async def chunk(self, n: int) -> bytes:
        if not 0 <= n < self.info.nchunks:
            raise NotFound(f"chunk {n} of {self.info.nchunks} does not exist")
        ids = np.array([n], np.int64)
        raw = await self._filled(ids, lambda replica: replica.read(ids))
        return raw[0]

    async def chunks(self, ids: Ids) -> list[bytes]:
        return await self._filled(ids, lambda replica: replica.read(ids))

    async def fill(self) -> None:
        """Fetch all that is missing; `CacheFull` if it can't be kept."""
        self._noticed = True
        step = max(1, min(limits.PREFETCH_WINDOW // max(self.info.chunksize, 1), MANY_CHUNKS))
        for start in range(0, self.info.nchunks, step):
            ids = np.arange(start, min(start + step, self.info.nchunks))
            replica = await self._filled(ids, lambda replica: replica)
            if replica.write_error:
                raise self._no_room(replica)

    async def ready(self, wanted: Selection) -> None:
        ids = await self._ids(wanted)
        await self._filled(ids, lambda replica: None if len(replica.verify(ids)) else True)

    async def values(self, wanted: Selection | Points, field: Field = ()) -> Values:
        needed, look = await self._plan(wanted, field)
        return await self._filled(needed, look, wanted)

    async def frame(
        self, wanted: Selection | Points, field: Field = ()
    ) -> bytes | bytearray | Sealed:
        if isinstance(wanted, Selection) and not field:
            if wanted.is_whole:
                return await self._filled(np.arange(self.info.nchunks), self._whole)
            if wanted.is_aligned(self.info.chunks):
                aligned = wanted
                return await self._filled(
                    aligned, lambda replica: reading.frame_of_chunks(replica, aligned)
                )
        needed, look = await self._plan(wanted, field)
        pack = reading.pack if isinstance(wanted, Selection) else reading.pack_array

        def packed(replica: Replica) -> bytes | bytearray | None:
            piece = look(replica)
            return None if piece is None else pack(self.info, piece)

        return await self._filled(needed, packed, wanted)

    async def _plan(self, wanted: Selection | Points, field: Field) -> tuple[Selection | Ids, Look]:
        """What needs to be there, and how to get the values out of it."""
        ended = self._pool.ended
        if isinstance(wanted, Selection):
            return wanted, lambda replica: reading.values(replica, wanted, ended, field)
        groups = await self._pool.run(lambda: indices.group(wanted, self.info.chunks))
        touched = len(groups.bases) * selection.count_chunks(
            wanted.ranges, tuple(self.info.chunks[n] for n in wanted.ranged)
        )
        if touched > limits.OUTPUT_CHUNKS:
            raise TooLarge(
                f"these indices touch {touched} chunks, OUTPUT_CHUNKS is {limits.OUTPUT_CHUNKS}"
            )
        ids = await self._pool.run(lambda: gathering.chunk_ids(wanted, self.info, groups))
        return ids, lambda replica: gathering.values(replica, wanted, groups, ended, field)

    async def _ids(self, wanted: Selection) -> Ids:
        """Numbers of the chunks that a selection touches."""
        if selection.count_chunks(wanted, self.info.chunks) <= MANY_CHUNKS:
            return selection.box(wanted, self.info.chunks).chunk_ids
        boxed = await self._pool.run(lambda: selection.box(wanted, self.info.chunks))
        return boxed.chunk_ids

    async def _filled(
        self,
        needed: Selection | Ids,
        work: Callable[[Replica], T | None],
        wanted: Selection | Points | None = None,
    ) -> T:
        """Do something once some chunks are there; again if one of them turns out to be bad.

        Where it is told what is wanted of them, blocks of large chunks do at the first try.
        """
        replica = self._replica or await self._remote.replica(self.info)
        self._replica = replica
        for _ in range(limits.RETRIES):
            if not replica.complete:
                ids = await self._ids(needed) if isinstance(needed, Selection) else needed
                await self._fetched(replica, ids, wanted)
                wanted = None
            result = await self._pool.run(lambda: work(replica))
            if result is not None:
                if replica.complete and not replica.kept:
                    self._pool.later(lambda: self._keep(replica))
                return result
        if replica.write_error:
            raise self._no_room(replica)
        raise SourceCorrupt(f"{self._remote.name}/{self.info.path} is damaged again and again")

    async def _fetched(self, replica: Replica, ids: Ids, wanted: Selection | Points | None) -> None:
        blocks = None
        small = wanted if spares(self.info, 1, 0, 0) else None
        if not self._noticed and (small is None or not self._is_little(small, len(ids))):
            self._ahead.noticed(replica, ids, self._remote.ensure)
        self._noticed = True
        if small is not None and len(replica.missing(ids)):
            blocks = await self._pool.run(lambda: touched(small, self.info))
        try:
            await self._remote.ensure(replica, ids, blocks)
        except StaleVersion:
            await self._remote.sync()
            raise

    def _is_little(self, wanted: Selection | Points, count: int) -> bool:
        """Whether it is so little of its chunks that the next ones are not wanted whole either."""
        return 4 * wanted.size * self.info.typesize <= count * self.info.chunksize

    # --- in a thread ---

    def _whole(self, replica: Replica) -> Sealed | bytearray | None:
        if len(replica.verify(np.arange(self.info.nchunks))):
            return None
        try:
            if (sealed := replica.seal()) is not None:
                return sealed
        except OSError as error:
            log.error("%s/%s can't be sealed: %s", self._remote.name, self.info.path, error)
        if self.info.cbytes > limits.OVERLAY_BYTES:
            raise self._no_room(replica)
        return replica.whole_in_memory()

    def _keep(self, replica: Replica) -> None:
        """Seal and flush a replica that became complete, while nobody waits for it."""
        try:
            replica.seal()
            replica.keep()
        except OSError as error:
            log.error("%s/%s is not kept: %s", self._remote.name, self.info.path, error)

    def _no_room(self, replica: Replica) -> CacheFull:
        why = replica.write_error or "it can't be written"
        return CacheFull(f"{self._remote.name}/{self.info.path} does not fit into the cache: {why}")
