"""A dataset that is read in threads, wherever its chunks come from."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from caterva2.arrays import points
from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.overviews import Overview, Survey
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection, box, count_chunks
from caterva2.cache.readable import Ids, Readable
from caterva2.cache.touched_blocks import Touched
from caterva2.errors import NotFound, TooLarge
from caterva2.frames import blocks, packing, proof
from caterva2.frames.sealed import Sealed
from caterva2.limits import DEFAULTS, CacheLimits
from caterva2.limits.constants import KIB, MIB
from caterva2.model import DatasetInfo, Expression
from caterva2.reading import points as gathering
from caterva2.reading import slices, surveys
from caterva2.reading.bands import bands
from caterva2.reading.scope import ReadScope

T = TypeVar("T")
Region = Selection | Points | Touched
"""Region to read: a selection, points, or blocks by their numbers."""
Look = Callable[[Readable], Values | None]
"""Reads values from chunks; None if one turned out to be missing."""
MANY_CHUNKS = 10_000
"""Chunks of a selection above which listing them is work for a thread."""
_SMALL_THREADS = 2
_SMALL, _SMALL_BLOCKS = 64 * KIB, MIB
"""Bytes of values, and of their blocks, up to which a read does not wait for larger ones."""


class ReadPool:
    """The threads that read files and decode; some are for small reads alone.

    Parameters
    ----------
    workers : int
    limits : CacheLimits

    Attributes
    ----------
    scope : ReadScope
        Of all reads in these threads.
    """

    def __init__(self, workers: int, limits: CacheLimits = DEFAULTS.cache) -> None:
        self.scope = ReadScope(limits)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="read")
        self._small = ThreadPoolExecutor(_SMALL_THREADS, thread_name_prefix="small")
        self._free = {self._pool: workers, self._small: _SMALL_THREADS}
        self._beside: list[ReadPool] = []

    def beside(self, workers: int) -> ReadPool:
        """Return more threads, for reads that may wait for long; they end with these."""
        made = ReadPool(workers, self.scope.limits)
        made.scope = self.scope
        self._beside.append(made)
        return made

    @property
    def waiting(self) -> int:
        """Number of works that no thread has begun."""
        return self._pool._work_queue.qsize() + self._small._work_queue.qsize()

    async def run(self, work: Callable[[], T], *, small: bool = False) -> T:
        """Run blocking work in one of the threads; in any that is free if it is ``small``.

        A thread whose reader left counts as free before its work ends.
        """
        spared = small and (self._free[self._small] > 0 or self._free[self._pool] <= 0)
        threads = self._small if spared else self._pool
        running = asyncio.get_running_loop().run_in_executor(threads, work)
        self._free[threads] -= 1
        running.add_done_callback(lambda _: self._give(threads))
        return await running

    def _give(self, threads: ThreadPoolExecutor) -> None:
        self._free[threads] += 1

    def later(self, work: Callable[[], None]) -> None:
        """Run work in one of the threads, without waiting for it."""
        with contextlib.suppress(RuntimeError):  # it was stopped
            self._pool.submit(work)

    def stop(self) -> None:
        """Drop work that has not begun, and end the rest at its next step."""
        self.scope.ended.set()
        for each in self._beside:
            each.stop()
        for threads in (self._pool, self._small):
            threads.shutdown(wait=False, cancel_futures=True)


def is_small(region: Region | None, info: DatasetInfo) -> bool:
    """Return whether a region is so little that its read should not wait for larger ones."""
    if not isinstance(region, Selection) or info.kind != "array":
        return False
    if region.size * info.typesize > _SMALL:
        return False
    return count_chunks(region, info.blocks) * info.blocksize <= _SMALL_BLOCKS


class ChunkedDataset(ABC):
    """One version of a dataset.

    Parameters
    ----------
    info : DatasetInfo
    pool : ReadPool
    """

    def __init__(self, info: DatasetInfo, pool: ReadPool) -> None:
        self.info = info
        self._pool = pool

    expression: Expression | None = None
    """The expression that it is computed of, None if it is stored."""

    @abstractmethod
    async def _filled(
        self,
        needed: Selection | Ids,
        work: Callable[[Readable], T | None],
        region: Region | None = None,
    ) -> T:
        """Run work in a thread once some chunks are present, or their blocks in a region."""

    @abstractmethod
    async def _whole(self) -> Sealed | bytes | bytearray:
        """Return the stored frame."""

    async def chunk(self, n: int) -> bytes:
        """Return the raw chunk ``n``; `NotFound` if it is out of range."""
        if not 0 <= n < self.info.nchunks:
            raise NotFound(f"chunk {n} of {self.info.nchunks} does not exist")
        ids = np.array([n], np.int64)
        return (await self._filled(ids, lambda replica: self._decodable(replica, ids)))[0]

    async def chunks(self, ids: Ids) -> list[bytes]:
        """Return raw chunks by their numbers, for a client that reports what it can't decode."""
        return await self._filled(ids, lambda replica: replica.read(ids))

    async def decoded(self, ids: Ids, work: Callable[[npt.NDArray[np.uint8]], T]) -> T:
        """Run work in a thread over the bytes of chunks, decoded as they are stored, in rows."""

        def look(replica: Readable) -> T | None:
            chunks = replica.read(ids)
            if chunks is None:
                return None
            try:
                rows = packing.decoded(self.info, chunks)
            except proof.DECODING:
                proof.check(ids.tolist(), chunks, self.info.chunksize)
                raise
            return work(rows)

        return await self._filled(ids, look)

    async def blocks(self, n: int, ids: Sequence[int]) -> list[bytes]:
        """Return blocks of chunk ``n``, which can be divided, each as a chunk of its own.

        If the chunk is not cached, the blocks alone are fetched where that costs less.
        """
        found = np.array([n], np.int64)
        return await self._filled(found, lambda one: self._singles(one, n, ids), {n: tuple(ids)})

    def _singles(self, replica: Readable, n: int, ids: Sequence[int]) -> list[bytes] | None:
        found = replica.read(np.array([n], np.int64))
        return blocks.singles(found[0], ids) if found else None

    def try_block(self, n: int, block: int) -> bytearray | None:
        """Return a block of chunk ``n`` as a chunk of its own if that takes no I/O; never block."""
        return None

    async def ready(self, region: Selection) -> None:
        """Fetch and verify the chunks that a selection touches."""
        ids = await self._ids(region)
        await self._filled(ids, lambda replica: self._verified(replica, ids))

    def _decodable(self, replica: Readable, ids: Ids) -> list[bytes] | None:
        """Read chunks for clients that can't report any; None if one is missing. Blocks."""
        return replica.read(ids)

    def _verified(self, replica: Readable, ids: Ids) -> bool | None:
        """Verify chunks before they are sent from the file; None if one is missing. Blocks."""
        return None if len(replica.verify(ids)) else True

    def try_values(self, region: Selection | Points, field: FieldPath = ()) -> Values | None:
        """Return the selected values if that takes no I/O and little work; never block."""
        return None

    async def values(self, region: Selection | Points, field: FieldPath = ()) -> Values:
        """Return the selected values, or a field of them."""
        needed, look = await self._plan(region, field)
        return await self._filled(needed, look, region)

    async def frame(
        self, region: Selection | Points, field: FieldPath = ()
    ) -> bytes | bytearray | Sealed:
        """Return a frame of the selected values; the stored one for the whole dataset."""
        if isinstance(region, Selection) and not field:
            if region.is_whole:
                return await self._whole()
            if region.is_aligned(self.info.chunks):
                aligned = region

                def composed(replica: Readable) -> bytearray | None:
                    small = box(aligned, self.info.chunks)
                    chunks = self._decodable(replica, small.chunk_ids)
                    if chunks is None:
                        return None
                    return slices.frame_of_chunks(self.info, small, chunks)

                return await self._filled(aligned, composed)
        needed, look = await self._plan(region, field)
        pack = slices.pack if isinstance(region, Selection) else slices.pack_array

        def packed(replica: Readable) -> bytes | bytearray | None:
            piece = look(replica)
            return None if piece is None else pack(self.info, piece)

        return await self._filled(needed, packed, region)

    async def survey(self, asked: Survey) -> Overview:
        """Return an overview of a part of the values; it is read piece by piece."""
        return await surveys.survey(self, asked, self._pool.scope)

    async def reduce(self, part: Selection, work: Callable[[surveys.Bands], T | None]) -> T:
        """Run work in a thread over the values of a part of one chunk, or of a few small ones."""
        scope = self._pool.scope
        return await self._filled(part, lambda replica: work(bands(replica, part, scope)), part)

    async def _plan(
        self, region: Selection | Points, field: FieldPath
    ) -> tuple[Selection | Ids, Look]:
        """Find the chunks that must be present, and how to read the values from them."""
        scope = self._pool.scope
        if isinstance(region, Selection):
            return region, lambda replica: slices.values(replica, region, field, scope)
        groups = await self._pool.run(lambda: points.group(region, self.info.chunks))
        touched = len(groups.bases) * count_chunks(
            region.ranges, tuple(self.info.chunks[n] for n in region.ranged)
        )
        max_chunks = scope.limits.output_chunks
        if touched > max_chunks:
            raise TooLarge(f"these indices touch {touched} chunks, OUTPUT_CHUNKS is {max_chunks}")
        ids = await self._pool.run(lambda: gathering.chunk_ids(region, self.info, groups))
        return ids, lambda replica: gathering.values(replica, region, groups, field, scope)

    async def _ids(self, region: Selection) -> Ids:
        """List the chunks that a selection touches."""
        if count_chunks(region, self.info.chunks) <= MANY_CHUNKS:
            return box(region, self.info.chunks).chunk_ids
        boxed = await self._pool.run(lambda: box(region, self.info.chunks))
        return boxed.chunk_ids
