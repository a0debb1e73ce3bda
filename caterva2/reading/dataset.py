"""A dataset read in threads: what is the same wherever its chunks come from."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from caterva2 import limits
from caterva2.arrays import points, selection
from caterva2.arrays.fields import Field, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.cache.readable import Ids, Readable
from caterva2.errors import NotFound, TooLarge
from caterva2.frames.sealed import Sealed
from caterva2.model import DatasetInfo, Expression
from caterva2.reading import points as gathering
from caterva2.reading import slices

T = TypeVar("T")
Look = Callable[[Readable], Values | None]
"""Reads values out of chunks; None if one turned out not to be there."""
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
        with contextlib.suppress(RuntimeError):  # it was stopped
            self._pool.submit(work)

    def stop(self) -> None:
        """Give up what has not begun, and have the rest end at its next step."""
        self.ended.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


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
    """What it is computed of, if it is."""

    @abstractmethod
    async def _filled(
        self,
        needed: Selection | Ids,
        work: Callable[[Readable], T | None],
        wanted: Selection | Points | None = None,
    ) -> T:
        """Do something in a thread, with some chunks at hand, or what is wanted of them."""

    @abstractmethod
    async def _whole(self) -> Sealed | bytes | bytearray:
        """The stored frame."""

    async def chunk(self, n: int) -> bytes:
        if not 0 <= n < self.info.nchunks:
            raise NotFound(f"chunk {n} of {self.info.nchunks} does not exist")
        ids = np.array([n], np.int64)
        raw = await self._filled(ids, lambda replica: replica.read(ids))
        return raw[0]

    async def chunks(self, ids: Ids) -> list[bytes]:
        return await self._filled(ids, lambda replica: replica.read(ids))

    async def ready(self, wanted: Selection) -> None:
        ids = await self._ids(wanted)
        await self._filled(ids, lambda replica: None if len(replica.verify(ids)) else True)

    def try_values(self, wanted: Selection | Points, field: Field = ()) -> Values | None:
        """What is wanted if it takes but a moment: no thread, no disk and no publisher."""
        return None

    async def values(self, wanted: Selection | Points, field: Field = ()) -> Values:
        needed, look = await self._plan(wanted, field)
        return await self._filled(needed, look, wanted)

    async def frame(
        self, wanted: Selection | Points, field: Field = ()
    ) -> bytes | bytearray | Sealed:
        if isinstance(wanted, Selection) and not field:
            if wanted.is_whole:
                return await self._whole()
            if wanted.is_aligned(self.info.chunks):
                aligned = wanted
                return await self._filled(
                    aligned, lambda replica: slices.frame_of_chunks(replica, aligned)
                )
        needed, look = await self._plan(wanted, field)
        pack = slices.pack if isinstance(wanted, Selection) else slices.pack_array

        def packed(replica: Readable) -> bytes | bytearray | None:
            piece = look(replica)
            return None if piece is None else pack(self.info, piece)

        return await self._filled(needed, packed, wanted)

    async def _plan(self, wanted: Selection | Points, field: Field) -> tuple[Selection | Ids, Look]:
        """What needs to be there, and how to get the values out of it."""
        ended = self._pool.ended
        if isinstance(wanted, Selection):
            return wanted, lambda replica: slices.values(replica, wanted, ended, field)
        groups = await self._pool.run(lambda: points.group(wanted, self.info.chunks))
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
