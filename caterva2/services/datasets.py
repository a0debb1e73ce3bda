"""A dataset of a published root, read through the cache."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from caterva2 import limits, selection
from caterva2.cache import reading
from caterva2.cache.reading import Values
from caterva2.cache.replica import Ids, Replica, Sealed
from caterva2.errors import NotFound, SourceCorrupt, StaleVersion
from caterva2.model import DatasetInfo
from caterva2.selection import Selection
from caterva2.services.remoteroot import RemoteRoot

log = logging.getLogger(__name__)
T = TypeVar("T")


class RemoteDataset:
    """One version of a dataset.

    Parameters
    ----------
    remote : RemoteRoot
    info : DatasetInfo
    replica : Replica
    pool : ThreadPoolExecutor
        For everything that reads files or decodes.
    """

    def __init__(
        self, remote: RemoteRoot, info: DatasetInfo, replica: Replica, pool: ThreadPoolExecutor
    ) -> None:
        self.info = info
        self._remote = remote
        self._replica = replica
        self._pool = pool

    @property
    def offline(self) -> bool:
        return self._remote.offline

    @property
    def cached_chunks(self) -> int:
        return self._replica.cached_chunks

    @property
    def cached_bytes(self) -> int:
        return self._replica.cached_bytes

    async def chunk(self, n: int) -> bytes:
        if not 0 <= n < self.info.nchunks:
            raise NotFound(f"chunk {n} of {self.info.nchunks} does not exist")
        ids = np.array([n], np.int64)
        raw = await self._filled(ids, lambda: self._replica.read(ids))
        return raw[0]

    async def values(self, wanted: Selection) -> Values:
        ids = selection.box(wanted, self.info.chunks).chunk_ids
        return await self._filled(ids, lambda: reading.values(self._replica, wanted))

    async def frame(self, wanted: Selection) -> bytes | bytearray | Sealed:
        if wanted.is_whole:
            return await self._whole()
        ids = selection.box(wanted, self.info.chunks).chunk_ids
        if wanted.is_aligned(self.info.chunks):
            return await self._filled(ids, lambda: reading.frame_of_chunks(self._replica, wanted))

        def pack() -> bytes | bytearray | None:
            piece = reading.values(self._replica, wanted)
            return None if piece is None else reading.pack(self.info, piece)

        return await self._filled(ids, pack)

    async def _whole(self) -> Sealed:
        everything = np.arange(self.info.nchunks)

        def seal() -> Sealed | None:
            return None if len(self._replica.verify(everything)) else self._replica.seal()

        return await self._filled(everything, seal)

    async def _filled(self, ids: Ids, work: Callable[[], T | None]) -> T:
        """Do something once some chunks are there; again if one of them turns out to be bad."""
        for _ in range(limits.RETRIES):
            try:
                await self._remote.ensure(self._replica, ids)
            except StaleVersion:
                await self._remote.sync()
                raise
            result = await self._in_thread(work)
            if result is not None:
                if self._replica.complete and not self._replica.kept:
                    self._pool.submit(self._keep)
                return result
        raise SourceCorrupt(f"{self._remote.name}/{self.info.path} is damaged again and again")

    def _keep(self) -> None:
        """Seal and flush a replica that became complete, while nobody waits for it."""
        try:
            self._replica.seal()
            self._replica.keep()
        except OSError as error:
            log.error("%s/%s is not kept: %s", self._remote.name, self.info.path, error)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
