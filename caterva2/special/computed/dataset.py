"""Computed datasets: the result of an expression, evaluated when it is read."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
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
        ahead: deque[tuple[int, asyncio.Task[bytes]]] = deque()
        left = iter(ids)
        try:
            for _ in range(len(ids)):
                async with slot():
                    for n in itertools.islice(left, evaluator.ahead - len(ahead)):
                        part = self._chunk(evaluator, node, int(n))
                        ahead.append((int(n), asyncio.create_task(part)))
                    chunk = await ahead[0][1]
                yield ahead.popleft()[0], chunk
        finally:
            await cancel_all([running for _, running in ahead])

    async def _chunk(self, evaluator: Evaluator, node: Plan, n: int) -> bytes:
        """Compute a chunk as it would be stored, padded with zeros."""
        info = self.info
        counts = [-(-size // chunk) for size, chunk in zip(info.shape, info.chunks, strict=True)]
        at = [int(place) for place in np.unravel_index(n, counts)]
        region = tuple(
            range(place * chunk, min((place + 1) * chunk, size))
            for place, chunk, size in zip(at, info.chunks, info.shape, strict=True)
        )
        selection = Selection(info.shape, region)
        if not evaluator.elsewhere:
            work = self._blockwise(node, selection, n)
            made = await evaluator.bounded(node, region, work)
            if made is not None:
                return made
        found = await evaluator.values(node, self._sources, selection)

        def packed() -> bytes:
            shape = packing.padded_shape(info.chunks, info.blocks)
            values: Any = found
            if found.shape != shape:
                values = np.zeros(shape, found.dtype)
                values[tuple(slice(0, len(axis)) for axis in region)] = found
            return packing.pack(values, info.blocks, info.cparams)

        return await self._pool.run(packed)

    async def _blockwise(self, node: Plan, region: Selection, n: int) -> bytes | None:
        """Compute a chunk of the operands' chunks; None if they have other grids."""
        names = blockwise.operands(node, self.info, region)
        sources = {name: self._sources[name] for name in names}
        stored: dict[str, bytes] = {}
        for name, source in sources.items():
            if not isinstance(source, ChunkedDataset):
                return None
            [stored[name]] = await source.chunks(np.array([n], np.int64))
        if not stored:
            return None
        return await self._pool.run(lambda: blockwise.chunk(node, self.info, stored))

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
