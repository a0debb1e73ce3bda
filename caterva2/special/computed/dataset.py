"""Computed datasets: the result of an expression, evaluated when it is read."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from caterva2.arrays import dtypes
from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.cache.readable import Ids, Readable
from caterva2.cache.touched_blocks import Touched
from caterva2.compute import blockwise, costs
from caterva2.compute.evaluation import Evaluator
from caterva2.compute.plans import Plan, Sources
from caterva2.compute.recipes import Recipe
from caterva2.errors import Busy, CatervaError, TooLarge
from caterva2.frames import packing
from caterva2.frames.sealed import Sealed
from caterva2.frames.writer import FrameWriter
from caterva2.limits import DEFAULTS, ComputeLimits
from caterva2.model import DatasetInfo, Expression
from caterva2.names import DatasetPath
from caterva2.reading import slices, surveys
from caterva2.reading.dataset import ChunkedDataset, Region
from caterva2.runtime.tasks import cancel_all
from caterva2.runtime.uncancellable import in_thread
from caterva2.special.computed.context import ComputeContext
from caterva2.special.incoming import Staged
from caterva2.special.staging import staged
from caterva2.special.stored import open_unnamed

T = TypeVar("T")
Slot = Callable[[], contextlib.AbstractAsyncContextManager[None]]


def describe(recipe: Recipe, path: DatasetPath, etag: str, mtime: float) -> DatasetInfo:
    """Describe a computed dataset, of which nothing is stored.

    Raises
    ------
    TooLarge
        If an array can't have this shape.
    """
    dtype = dtypes.parse(recipe.dtype)
    padded = packing.padded_shape(recipe.chunks, recipe.blocks)
    try:
        return DatasetInfo(
            path=path, etag=etag, mtime=mtime, kind="array", shape=recipe.shape,
            chunks=recipe.chunks, blocks=recipe.blocks, dtype=recipe.dtype,
            typesize=dtype.itemsize, chunksize=math.prod(padded) * dtype.itemsize,
            blocksize=math.prod(recipe.blocks) * dtype.itemsize,
            nbytes=math.prod(recipe.shape) * dtype.itemsize, cbytes=0,
        )  # fmt: skip
    except ValueError:
        raise TooLarge(f"{path} can't have the shape {list(recipe.shape)}") from None


def recipe_of(
    expression: Expression, node: Plan, limits: ComputeLimits = DEFAULTS.compute
) -> Recipe:
    """Return the stored form of an expression with this plan."""
    chunks, blocks = costs.grid(node, limits)
    return Recipe(
        expression=expression.text, operands=expression.operands, shape=node.shape,
        chunks=chunks, blocks=blocks, dtype=dtypes.describe(node.dtype),
    )  # fmt: skip


class ComputedDataset(ChunkedDataset):
    """One version of a computed dataset, of one version of each of its operands.

    Parameters
    ----------
    info : DatasetInfo
    expression : Expression
    plan : Plan or CatervaError
        The plan, or why the expression can't be computed now.
    sources : mapping
        The opened operands, by their full names.
    context : ComputeContext
    offline : bool
        Whether an operand can be read from the cache only.
    """

    stored: Sealed | None = None
    cached_chunks = cached_bytes = 0

    def __init__(
        self,
        info: DatasetInfo,
        expression: Expression,
        plan: Plan | CatervaError,
        sources: Sources,
        context: ComputeContext,
        offline: bool = False,
    ) -> None:
        super().__init__(info, context.pool)
        self.expression = expression
        self.offline = offline
        self._outcome = plan
        self._sources = sources
        self._context = context

    @property
    def plan(self) -> Plan:
        """The plan of the result; raises the error if the expression can't be computed."""
        if isinstance(self._outcome, CatervaError):
            raise self._outcome
        return self._outcome

    async def ready(self, region: Selection) -> None:
        """Raise the reason if it can't be computed; there is nothing to fetch."""
        _ = self.plan

    async def values(self, region: Selection | Points, field: FieldPath = ()) -> Values:
        """Compute a selection."""
        if not isinstance(region, Selection):
            return await super().values(region, field)
        node = self.plan
        async with self._context.slot():
            return await self._context.evaluator.values(node, self._sources, region)

    async def reduce(self, part: Selection, work: Callable[[surveys.Bands], T | None]) -> T:
        """Run work in a thread over the values of a part."""
        values = await self.values(part)
        result = await self._pool.run(lambda: work(iter([(values, (0,) * values.ndim)])))
        if result is None:
            raise Busy("the subscriber ends", after_ms=5000)
        return result

    async def frame(
        self, region: Selection | Points, field: FieldPath = ()
    ) -> bytes | bytearray | Sealed:
        """Compute a selection as a frame."""
        if not isinstance(region, Selection):
            return await super().frame(region, field)
        if region.is_whole:
            return await self._whole()
        values = await self.values(region)
        return await self._pool.run(lambda: slices.pack(self.info, values))

    async def _filled(
        self,
        needed: Selection | Ids,
        work: Callable[[Readable], T | None],
        region: Region | None = None,
    ) -> T:
        ids = await self._ids(needed) if isinstance(needed, Selection) else needed
        size = len(ids) * self.info.chunksize
        most = self._context.limits.compute_staged
        if len(ids) > 1 and size > most:
            raise TooLarge(
                f"{size} bytes of chunks would have to be computed for this, COMPUTE_STAGED is "
                f"{most}: ask for less at once"
            )
        node = self.plan
        async with self._context.slot(), contextlib.aclosing(self._made(node, ids)) as made:
            chunks = {n: chunk async for n, chunk in made}
        result = await self._pool.run(lambda: work(_Chunks(self.info, chunks)))
        if result is None:
            raise Busy("the subscriber ends", after_ms=5000)
        return result

    async def _made(
        self, node: Plan, ids: Sequence[int] | Ids, slot: Slot = contextlib.nullcontext
    ) -> AsyncGenerator[tuple[int, bytes]]:
        """Yield chunks in order, each computed in a slot; some ahead where workers do it."""
        evaluator = self._context.evaluator.for_parts_of(node)
        works = self._works(evaluator, node, np.asarray(ids, np.int64))
        ahead: deque[tuple[Ids, asyncio.Task[list[bytes]]]] = deque()
        left = len(ids)
        try:
            while left:
                async with slot():
                    for batch, work in itertools.islice(works, evaluator.ahead - len(ahead)):
                        ahead.append((batch, asyncio.create_task(work)))
                    chunks = await ahead[0][1]
                left -= len(chunks)
                for n, chunk in zip(ahead.popleft()[0].tolist(), chunks, strict=True):
                    yield n, chunk
        finally:
            await cancel_all([running for _, running in ahead])

    def _works(
        self, evaluator: Evaluator, node: Plan, ids: Ids
    ) -> Iterator[tuple[Ids, Coroutine[Any, Any, list[bytes]]]]:
        """Divide chunks into those that are computed at a time: several of one grid if small."""
        info = self.info
        grid = None if evaluator.elsewhere else blockwise.grid(node, self._sources)
        if grid is None or (grid.chunks, grid.blocks) != (info.chunks, info.blocks):
            yield from ((batch, self._chunk(evaluator, node, batch)) for batch in ids[:, None])
            return
        for whole, batch in blockwise.batches(info, ids, len(blockwise.operands(node))):
            make = self._whole_chunks if whole else self._chunk
            yield batch, make(evaluator, node, batch)

    async def _chunk(self, evaluator: Evaluator, node: Plan, batch: Ids) -> list[bytes]:
        """Compute one chunk as it would be stored, padded with zeros."""
        info = self.info
        region = blockwise.region_of(info, int(batch[0]))
        found = await evaluator.values(node, self._sources, Selection(info.shape, region))

        def packed() -> list[bytes]:
            shape = packing.padded_shape(info.chunks, info.blocks)
            values: Any = found
            if found.shape != shape:
                values = np.zeros(shape, found.dtype)
                values[tuple(slice(0, len(axis)) for axis in region)] = found
            return [packing.pack(values, info.blocks, info.cparams)]

        return await self._pool.run(packed)

    async def _whole_chunks(self, evaluator: Evaluator, node: Plan, batch: Ids) -> list[bytes]:
        """Compute chunks of the operands' chunks, in the order in which these are stored."""
        info = self.info

        def packed(values: Values) -> list[bytes]:
            rows = np.ascontiguousarray(values, node.dtype).view(np.uint8)
            size = info.typesize, info.blocksize
            return [packing.pack_blocks(row, *size, info.cparams) for row in rows]

        region = blockwise.region_of(info, int(batch[0]))  # each of the batch costs that much
        work = blockwise.over(node, self._sources, batch, packed)
        return list(itertools.chain(*await evaluator.bounded(node, region, work)))

    async def _whole(self) -> Sealed:
        _ = self.plan
        async with staged(self._context.incoming) as file:
            await self.write(file)
            return await in_thread(lambda: open_unnamed(file.path))

    async def write(self, file: Staged) -> None:
        """Compute the whole result as a frame in a file.

        Raises
        ------
        TooLarge, QuotaExceeded
        """
        info, node, limits = self.info, self.plan, self._context.limits
        if info.nbytes > limits.computed_frame:
            raise TooLarge(
                f"the result has {info.nbytes} bytes, COMPUTED_FRAME is {limits.computed_frame}"
            )
        costs.check_cost(node, tuple(map(range, info.shape)), limits, at_once=False)
        frame = await in_thread(lambda: FrameWriter(file.path, info))
        try:
            made = self._made(node, range(info.nchunks), self._context.slot)
            async with contextlib.aclosing(made):
                async for _, chunk in made:
                    file.count(len(chunk))
                    await in_thread(partial(frame.add, chunk))
            await in_thread(frame.finish)
        finally:
            frame.close()


class _Chunks:
    """Computed chunks, as a `Readable`."""

    sealed: Sealed | None = None
    file: Path | None = None
    trusted = True

    def __init__(self, info: DatasetInfo, chunks: Mapping[int, bytes]) -> None:
        self.info = info
        self._chunks = chunks

    def read(self, ids: Ids) -> list[bytes]:
        return [self._chunks[n] for n in ids.tolist()]

    def read_touched(self, requested: Touched) -> None:
        """Return None: no chunk is computed in part."""

    def missing(self, ids: Ids) -> Ids:
        """Return no chunk: all are computed."""
        return ids[:0]

    def verify(self, ids: Ids) -> Ids:
        """Return no chunk: all are computed."""
        return ids[:0]
