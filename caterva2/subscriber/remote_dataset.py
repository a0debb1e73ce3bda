"""A dataset of a published root, read through the cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection, count_chunks
from caterva2.cache.readable import Ids, Readable
from caterva2.cache.replica import Replica
from caterva2.cache.touched_blocks import touched
from caterva2.errors import CacheFull, SourceCorrupt, StaleVersion
from caterva2.frames import proof
from caterva2.frames.sealed import Sealed
from caterva2.model import DatasetInfo
from caterva2.reading import nonblocking
from caterva2.reading.dataset import MANY_CHUNKS, ChunkedDataset, ReadPool, Region, is_small
from caterva2.subscriber.fetch.costs import blocks_pay, expected_size
from caterva2.subscriber.publishers import way
from caterva2.subscriber.readahead import ReadAhead
from caterva2.subscriber.remote_root import RemoteRoot

log = logging.getLogger(__name__)
T = TypeVar("T")
_LARGEST, _ROOM = 1 / 2, 3 / 4
"""Shares of all touched chunks, and of the memory for blocks, up to which blocks are looked for."""
TRIES = 3
"""Tries to read chunks that turn out to be damaged in the cache, and are fetched again."""


class RemoteDataset(ChunkedDataset):
    """One version of a dataset.

    Parameters
    ----------
    remote : RemoteRoot
    info : DatasetInfo
    replica : Replica or None
        What is cached of it; None for nothing yet.
    pool : ReadPool
    ahead : ReadAhead
        Observes what is read.
    """

    def __init__(
        self,
        remote: RemoteRoot,
        info: DatasetInfo,
        replica: Replica | None,
        pool: ReadPool,
        ahead: ReadAhead,
    ) -> None:
        super().__init__(info, pool)
        self._remote = remote
        self._limits = remote.limits.subscriber
        self._replica = replica
        self._ahead = ahead
        self._observed = False  # once is enough: further reads are of the same request

    @property
    def offline(self) -> bool:
        return way.is_origin_away(self._remote.providers)

    @property
    def stored(self) -> Sealed | None:
        return self._replica.sealed if self._replica else None

    @property
    def replica(self) -> Replica | None:
        """The dataset's replica; None if none was opened yet."""
        return self._replica

    @property
    def cached_chunks(self) -> int:
        return self._replica.cached_chunks if self._replica else 0

    @property
    def cached_bytes(self) -> int:
        return self._replica.cached_bytes if self._replica else 0

    async def values(self, region: Selection | Points, field: FieldPath = ()) -> Values:
        found = self.try_values(region, field)
        return found if found is not None else await super().values(region, field)

    def try_values(self, region: Selection | Points, field: FieldPath = ()) -> Values | None:
        replica = self._replica
        if replica is None or not replica.complete or not isinstance(region, Selection):
            return None
        values = nonblocking.values(replica, region, field, self._pool.scope.limits)
        if values is not None:
            self._remote.traffic.hits += 1
        return values

    def try_block(self, n: int, block: int) -> bytearray | None:
        replica = self._replica
        return None if replica is None else replica.try_block(n, block)

    def _singles(self, replica: Readable, n: int, ids: Sequence[int]) -> list[bytes] | None:
        if isinstance(replica, Replica):
            return replica.read_blocks(n, ids)
        return super()._singles(replica, n, ids)

    def proof(self, n: int) -> bytes:
        """Return what proves that a chunk is the origin's; nothing if that is not known. Blocks."""
        return self._replica.proof(n) if self._replica else b""

    def keep_proof(self, n: int, proof: bytes) -> None:
        """Keep what proves that a chunk is the origin's. Blocks."""
        if self._replica is not None:
            self._replica.keep_proof(n, proof)

    def cached_among(self, ids: Ids) -> int:
        """Return how many of some chunks are in the cache."""
        return len(ids) - len(self._replica.missing(ids)) if self._replica else 0

    async def arrive(self, wanted: Ids) -> None:
        """Wait until some chunks are there, without reading them."""
        await self._filled(wanted, lambda replica: replica)

    async def fill(self, wanted: Ids | None = None) -> None:
        """Fetch the missing chunks, of all or of some; `CacheFull` if they can't be kept."""
        wanted = np.arange(self.info.nchunks) if wanted is None else wanted
        self._observed = True
        window = self._limits.prefetch_window
        step = max(1, min(window // max(self.info.chunksize, 1), MANY_CHUNKS))
        for start in range(0, len(wanted), step):
            replica = await self._filled(wanted[start : start + step], lambda replica: replica)
            if replica.write_error:
                raise self._no_room(replica)

    async def _whole(self) -> Sealed | bytearray:
        return await self._filled(np.arange(self.info.nchunks), self._sealed_or_made)

    async def _filled(
        self,
        needed: Selection | Ids,
        work: Callable[[Replica], T | None],
        region: Region | None = None,
    ) -> T:
        """Run work once some chunks are present; again if one turns out to be damaged.

        At the first try the blocks of large chunks that a region touches are enough.
        """
        replica = self._replica or await self._remote.replica(self.info)
        self._replica = replica
        damaged: SourceCorrupt | None = None
        small = is_small(region, self.info)
        for _ in range(TRIES):
            if replica.complete:
                self._found()
            else:
                ids = await self._ids(needed) if isinstance(needed, Selection) else needed
                await self._fetched(replica, ids, region)
                region = None
            try:
                result = await self._pool.run(lambda: work(replica), small=small)
            except SourceCorrupt as error:
                if not replica.drop(error.info.get("chunk")):
                    raise
                again = damaged is not None and damaged.info == error.info
                damaged = error.about(f"{self._remote.name}/{self.info.path}")
                if again:
                    break
                continue
            if result is not None:
                if replica.complete and not replica.kept:
                    self._pool.later(lambda: self._keep(replica))
                elif replica.wasteful:
                    self._pool.later(replica.renew)
                return result
        if replica.write_error:
            raise self._no_room(replica)
        final = damaged or SourceCorrupt(
            f"{self._remote.name}/{self.info.path} is damaged each time that it is fetched"
        )
        self._remote.traffic.failed(final)
        raise final

    async def _fetched(self, replica: Replica, ids: Ids, region: Region | None) -> None:
        blocks = None
        small = region if self._is_in_blocks(region, len(ids)) else None
        if not self._observed and (small is None or not self._is_little(small, len(ids))):
            self._ahead.observe(replica, ids, self._remote.ensure)
        missing, new = len(replica.missing(ids)), not self._observed
        self._observed, began = True, time.monotonic()
        if small is not None and missing:
            blocks = (
                small
                if isinstance(small, dict)
                else await self._pool.run(
                    lambda: touched(small, self.info, self._limits.plain_items),
                    small=is_small(small, self.info),
                )
            )
        try:
            await self._remote.ensure(replica, ids, blocks)
        except StaleVersion:
            await self._remote.sync()
            raise
        finally:
            if new and missing:
                self._remote.traffic.waited(time.monotonic() - began, self.info.path)
            elif new:
                self._remote.traffic.hits += 1

    def _is_in_blocks(self, region: Region | None, count: int) -> bool:
        """Return whether blocks of some chunks may cost less than these, and find room."""
        info = self.info
        if region is None or not count or not blocks_pay(info, 1, 0, 0, self._limits, count):
            return False
        if not isinstance(region, Selection):
            return True
        share = count_chunks(region, info.blocks) * info.blocksize / (count * info.chunksize)
        room = self._pool.scope.limits.parts_bytes * _ROOM
        return share <= _LARGEST and share * count * expected_size(info) <= room

    def _found(self) -> None:
        """Count a read for which all is in the cache; its further parts do not count."""
        self._remote.traffic.hits += not self._observed
        self._observed = True

    def _is_little(self, region: Region, count: int) -> bool:
        """Return whether a region is so small that the next chunks won't be read whole either."""
        if isinstance(region, dict):
            return True
        return 4 * region.size * self.info.typesize <= count * self.info.chunksize

    # --- in a thread ---

    def _sealed_or_made(self, replica: Replica) -> Sealed | bytearray | None:
        if not self._verified(replica, np.arange(self.info.nchunks)):
            return None
        try:
            if (sealed := replica.seal()) is not None:
                return sealed
        except OSError as error:
            log.error("%s/%s can't be sealed: %s", self._remote.name, self.info.path, error)
        if self.info.cbytes > self._pool.scope.limits.overlay_bytes:
            raise self._no_room(replica)
        return replica.whole_in_memory()

    def _decodable(self, replica: Readable, ids: Ids) -> list[bytes] | None:
        """Read chunks, and decode each of them once since the start, unless it is large."""
        chunks = super()._decodable(replica, ids)
        if chunks is not None and isinstance(replica, Replica) and self._is_to_prove:
            by_id = dict(zip(ids.tolist(), chunks, strict=True))
            new = replica.unproven(ids)
            proof.check(new.tolist(), [by_id[n] for n in new.tolist()], self.info.chunksize)
            replica.proven(new)
        return chunks

    def _verified(self, replica: Readable, ids: Ids) -> bool | None:
        """Verify chunks as `_decodable` does, without holding them."""
        if not isinstance(replica, Replica) or not self._is_to_prove:
            return super()._verified(replica, ids)
        new = replica.unproven(ids)
        step = max(1, self._pool.scope.limits.decode_step // max(self.info.chunksize, 1))
        for at in range(0, len(new), step):
            if self._pool.scope.ended.is_set() or not self._decodable(replica, new[at : at + step]):
                return None
        return None if len(replica.missing(ids)) else True

    @property
    def _is_to_prove(self) -> bool:
        """Whether chunks are decoded before they are sent: not what was packed here, nor large."""
        limits = self._pool.scope.limits
        return self.info.kind != "file" and self.info.chunksize <= limits.decode_step

    def _keep(self, replica: Replica) -> None:
        """Seal and flush a replica that became complete."""
        try:
            replica.seal()
            replica.keep()
        except StaleVersion:
            return  # a later version goes on with the file
        except OSError as error:
            log.error("%s/%s is not kept: %s", self._remote.name, self.info.path, error)

    def _no_room(self, replica: Replica) -> CacheFull:
        why = replica.write_error or "it can't be written"
        return CacheFull(f"{self._remote.name}/{self.info.path} does not fit into the cache: {why}")
