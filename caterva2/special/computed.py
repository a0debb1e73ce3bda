"""A dataset that is computed when it is read."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from caterva2 import limits
from caterva2.arrays import dtypes
from caterva2.arrays.fields import Field, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.cache.readable import Ids, Readable
from caterva2.cache.touched_blocks import Touched
from caterva2.compute import costs
from caterva2.compute.evaluation import Evaluation, Kept
from caterva2.compute.plans import Plan
from caterva2.compute.recipes import Recipe
from caterva2.compute.slots import FairSlots
from caterva2.errors import Busy, CatervaError, TooLarge
from caterva2.frames import packing
from caterva2.frames.sealed import Sealed
from caterva2.frames.writer import FrameWriter
from caterva2.model import DatasetInfo, Expression
from caterva2.names import DatasetPath
from caterva2.reading import slices
from caterva2.reading.dataset import ChunkedDataset, ReadPool
from caterva2.runtime.uncancellable import in_thread
from caterva2.special import stored as held
from caterva2.special.incoming import Incoming, Staged
from caterva2.special.staging import staged

T = TypeVar("T")


class ComputeContext:
    """What all computations share: threads, their turns, what is kept, room for whole results.

    Parameters
    ----------
    pool : ReadPool
    incoming : Incoming
    """

    def __init__(self, pool: ReadPool, incoming: Incoming) -> None:
        self.pool = pool
        self.incoming = incoming
        self.evaluation = Evaluation(pool, Kept())
        self._turns = FairSlots()
        self._user = ""

    def for_user(self, user: str) -> ComputeContext:
        """The same workshop, at the turns of a user; "" is whoever has not logged in."""
        same = copy.copy(self)
        same._user = user
        return same

    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """One of the computations that there may be at once; `Busy` if none ends in time."""
        return self._turns.turn(self._user)


def describe(recipe: Recipe, path: DatasetPath, etag: str, mtime: float) -> DatasetInfo:
    """What is told of a computed dataset, of which nothing is stored.

    Raises
    ------
    TooLarge
        If there can't be such an array.
    """
    dtype = dtypes.parse(recipe.dtype)
    padded = packing.padded_shape(recipe.chunks, recipe.blocks)
    digest = hashlib.blake2b(etag.encode(), digest_size=12).hexdigest()
    try:
        return DatasetInfo(
            path=path, etag=digest, mtime=mtime, kind="array", shape=recipe.shape,
            chunks=recipe.chunks, blocks=recipe.blocks, dtype=recipe.dtype,
            typesize=dtype.itemsize, chunksize=math.prod(padded) * dtype.itemsize,
            blocksize=math.prod(recipe.blocks) * dtype.itemsize,
            nbytes=math.prod(recipe.shape) * dtype.itemsize, cbytes=0,
        )  # fmt: skip
    except ValueError:
        raise TooLarge(f"{path} can't have the shape {list(recipe.shape)}") from None


def recipe_of(expression: Expression, node: Plan) -> Recipe:
    """What is stored of an expression."""
    chunks, blocks = costs.grid(node)
    return Recipe(
        expression=expression.text, operands=expression.operands, shape=node.shape,
        chunks=chunks, blocks=blocks, dtype=dtypes.describe(node.dtype),
    )  # fmt: skip


class Computed(ChunkedDataset):
    """One version of a dataset that is computed, of one version of each of its operands.

    Parameters
    ----------
    info : DatasetInfo
    expression : Expression
    plan : Plan or CatervaError
        What it means, or why it can't be computed now.
    workshop : ComputeContext
    offline : bool
        Whether an operand is read from the cache alone.
    """

    stored: Sealed | None = None
    cached_chunks = cached_bytes = 0

    def __init__(
        self,
        info: DatasetInfo,
        expression: Expression,
        plan: Plan | CatervaError,
        workshop: ComputeContext,
        offline: bool = False,
    ) -> None:
        super().__init__(info, workshop.pool)
        self.expression = expression
        self.offline = offline
        self._meaning = plan
        self._workshop = workshop

    def _node(self) -> Plan:
        if isinstance(self._meaning, CatervaError):
            raise self._meaning
        return self._meaning

    async def ready(self, wanted: Selection) -> None:
        """There is nothing to fetch; what can't be computed is told right away."""
        self._node()

    async def values(self, wanted: Selection | Points, field: Field = ()) -> Values:
        if not isinstance(wanted, Selection):
            return await super().values(wanted, field)
        node = self._node()
        async with self._workshop.turn():
            return await self._workshop.evaluation.values(node, wanted)

    async def frame(
        self, wanted: Selection | Points, field: Field = ()
    ) -> bytes | bytearray | Sealed:
        if not isinstance(wanted, Selection):
            return await super().frame(wanted, field)
        if wanted.is_whole:
            return await self._whole()
        values = await self.values(wanted)
        return await self._pool.run(lambda: slices.pack(self.info, values))

    async def _filled(
        self,
        needed: Selection | Ids,
        work: Callable[[Readable], T | None],
        wanted: Selection | Points | None = None,
    ) -> T:
        ids = await self._ids(needed) if isinstance(needed, Selection) else needed
        size = len(ids) * self.info.chunksize
        if len(ids) > 1 and size > limits.COMPUTE_STAGED:
            raise TooLarge(
                f"{size} bytes of chunks would have to be computed for this, COMPUTE_STAGED is "
                f"{limits.COMPUTE_STAGED}: ask for less at once"
            )
        node = self._node()
        async with self._workshop.turn():
            chunks = {n: await self._chunk(node, n) for n in ids.tolist()}
        result = await self._pool.run(lambda: work(_Chunks(self.info, chunks)))
        if result is None:
            raise Busy("the subscriber ends", after_ms=5000)
        return result

    async def _chunk(self, node: Plan, n: int) -> bytes:
        """A chunk as it would be stored, filled up with zeros."""
        info = self.info
        counts = [-(-size // chunk) for size, chunk in zip(info.shape, info.chunks, strict=True)]
        at = [int(place) for place in np.unravel_index(n, counts)]
        region = tuple(
            range(place * chunk, min((place + 1) * chunk, size))
            for place, chunk, size in zip(at, info.chunks, info.shape, strict=True)
        )
        found = await self._workshop.evaluation.values(node, Selection(info.shape, region))

        def packed() -> bytes:
            values: Any = np.zeros(packing.padded_shape(info.chunks, info.blocks), found.dtype)
            values[tuple(slice(0, len(axis)) for axis in region)] = found
            return packing.pack(values, info.blocks, info.cparams)

        return await self._pool.run(packed)

    async def _whole(self) -> Sealed:
        self._node()
        async with staged(self._workshop.incoming) as made:
            await self.write(made)
            return await in_thread(lambda: held.opened(made.path))

    async def write(self, made: Staged) -> None:
        """Compute all of it, as a frame in a file.

        Raises
        ------
        TooLarge, QuotaExceeded
        """
        info, node = self.info, self._node()
        if info.nbytes > limits.COMPUTED_FRAME:
            raise TooLarge(
                f"the result has {info.nbytes} bytes, COMPUTED_FRAME is {limits.COMPUTED_FRAME}"
            )
        costs.check_cost(node, tuple(map(range, info.shape)), at_once=False)
        frame = await in_thread(lambda: FrameWriter(made.path, info))
        try:
            for n in range(info.nchunks):
                async with self._workshop.turn():
                    chunk = await self._chunk(node, n)
                made.count(len(chunk))
                await in_thread(partial(frame.add, chunk))
            await in_thread(frame.finish)
        finally:
            frame.close()


class _Chunks:
    """Chunks that have been computed."""

    sealed: Sealed | None = None
    file: Path | None = None
    trusted = True

    def __init__(self, info: DatasetInfo, chunks: Mapping[int, bytes]) -> None:
        self.info = info
        self._chunks = chunks

    def read(self, ids: Ids) -> list[bytes]:
        return [self._chunks[n] for n in ids.tolist()]

    def read_touched(self, wanted: Touched) -> None:
        """No chunk is there in part."""

    def missing(self, ids: Ids) -> Ids:
        """All of them are there."""
        return ids[:0]

    def verify(self, ids: Ids) -> Ids:
        return ids[:0]
