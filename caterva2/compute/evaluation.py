"""Evaluation of plans piece by piece, in bounded memory whatever the size of the selection.

Staged nodes (reductions, and slices of computed arrays) are computed first. The rest is one pass
over the pieces of the selection; operands of the next pieces are read while one is computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from caterva2.arrays.fields import Values
from caterva2.arrays.selection import IntArray, Selection, split
from caterva2.compute import blockwise, costs, planning, plans
from caterva2.compute.plans import (
    Applied,
    NodeValues,
    Plan,
    Reduced,
    Region,
    Shape,
    Sliced,
    Sources,
)
from caterva2.compute.reducing import Accumulator, accumulator
from caterva2.compute.results import ResultCache
from caterva2.errors import DeadlineExceeded
from caterva2.limits import DEFAULTS, ComputeLimits
from caterva2.model import DatasetInfo
from caterva2.runtime.tasks import in_order

T = TypeVar("T")
AHEAD = 2
"""Pieces that are read and computed at a time. Each takes a share of COMPUTE_MEMORY."""
Piece = tuple[Region, tuple[slice, ...]]
"""A region, and its place in the selection."""


class Threads(Protocol):
    """Runs blocking work."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in a thread and return its result."""
        ...


class Evaluator:
    """Computes values of plans.

    Parameters
    ----------
    threads : Threads
    results : ResultCache
        Shared by all evaluations.
    limits : ComputeLimits

    Attributes
    ----------
    ahead : int
        Parts of one result that are worth computing at a time.
    elsewhere : bool
        Whether workers compute all parts.
    """

    ahead = 1
    elsewhere = False

    def __init__(
        self, threads: Threads, results: ResultCache, limits: ComputeLimits = DEFAULTS.compute
    ) -> None:
        self._threads = threads
        self._results = results
        self._limits = limits

    async def values(self, node: Plan, sources: Sources, selection: Selection) -> Values:
        """Compute a selection of a plan's result.

        Parameters
        ----------
        node : Plan
        sources : mapping
            What reads each operand, by its full name.
        selection : Selection

        Raises
        ------
        TooLarge
            If it needs more bytes of operands, or staged at once, than the limits allow.
        DeadlineExceeded
        BadExpression
            If the values turn out to have no result.
        StaleVersion
            If an operand is not that version any more.
        """
        result = np.empty(selection.result_shape, node.dtype)
        if not selection.size:
            return result
        region = tuple(
            range(axis, axis + 1) if isinstance(axis, int) else axis for axis in selection.axes
        )
        found = await self.bounded(node, region, self._evaluation(sources).region(node, region))
        return found.reshape(result.shape)

    async def bounded(self, node: Plan, region: Region, work: Coroutine[Any, Any, T]) -> T:
        """Compute a region of a plan's result within the limits.

        Raises
        ------
        TooLarge, DeadlineExceeded
        """
        seconds = self._limits.compute_deadline
        with contextlib.closing(work):
            costs.check_cost(node, region, self._limits)
            try:
                async with asyncio.timeout(seconds):
                    return await work
            except TimeoutError:
                raise DeadlineExceeded(
                    f"the computation takes longer than COMPUTE_DEADLINE, {seconds:g} s"
                ) from None

    def for_parts_of(self, node: Plan) -> Evaluator:
        """Return what computes a result in parts, of which each is small."""
        return self

    def _evaluation(self, sources: Sources) -> Evaluation:
        return Evaluation(self._threads, self._results, self._limits, sources)


class Evaluation:
    """One evaluation, over one version of each operand.

    Parameters
    ----------
    threads : Threads
    results : ResultCache
    limits : ComputeLimits
    sources : mapping
    """

    def __init__(
        self, threads: Threads, results: ResultCache, limits: ComputeLimits, sources: Sources
    ) -> None:
        self._threads = threads
        self._results = results
        self._limits = limits
        self._sources = sources

    async def region(self, node: Plan, region: Region) -> Values:
        """Compute a region of a plan's result."""
        shape = tuple(map(len, region))
        result: Values | None = None
        async with contextlib.aclosing(self._pieces(node, region)) as pieces:
            async for (_, where), values in pieces:
                if isinstance(node, Applied) and _is_all(values, shape, node.dtype):
                    return values
                if result is None:
                    result = np.empty(shape, node.dtype)
                result[where] = values
        return np.empty(shape, node.dtype) if result is None else result

    async def _pieces(self, node: Plan, region: Region) -> AsyncGenerator[tuple[Piece, Values]]:
        """Yield the pieces of a region and their values, in order."""
        staged = await self._staged(node, region)
        works = (
            self._computed(node, piece, staged) for piece in _split(node, region, self._limits)
        )
        async with contextlib.aclosing(in_order(works, AHEAD)) as results:
            async for result in results:
                yield result

    async def _computed(self, node: Plan, piece: Piece, staged: NodeValues) -> tuple[Piece, Values]:
        held = await self._read(node, piece[0])
        held |= {key: part_at(values, piece[1]) for key, values in staged.items()}
        return piece, await self._threads.run(partial(planning.computed, node, held))

    async def _read(self, node: Plan, region: Region) -> NodeValues:
        """Read the operands of a piece."""
        found = {}
        for leaf in plans.leaves(node):
            if id(leaf) not in found:
                own = Selection(leaf.shape, plans.fit(region, leaf.shape))
                selected = plans.part_of(leaf.view, own)
                found[id(leaf)] = await self._sources[leaf.operand].values(selected, leaf.field)
        return found

    async def _staged(self, node: Plan, region: Region) -> NodeValues:
        """Compute the staged nodes that the pieces of a region need."""
        staged: NodeValues = {}
        for part in plans.staged(node):
            if id(part) in staged:
                continue
            own = plans.fit(region, part.shape)
            inner = plans.needs(part, own)
            if isinstance(part, Sliced):
                found = await self.region(part.argument, inner)
            else:
                make = partial(self._reduced, part, inner)
                found = await self._results.get((part.key, own), make)
            staged[id(part)] = found.reshape(tuple(map(len, own)))
        return staged

    async def _reduced(self, part: Reduced, inner: Region) -> Values:
        made = await self.accumulated(part, inner)
        return await self._threads.run(made.finish)

    async def accumulated(self, part: Reduced, inner: Region) -> Accumulator:
        """Reduce a region of the argument of a reduction, without finishing it."""
        made = await self._begin(part, inner)
        if not all(inner):
            return made
        grid = self._grid(part, inner)
        if grid is None:
            async with contextlib.aclosing(self._pieces(part.argument, inner)) as pieces:
                async for (_, where), values in pieces:
                    await self._threads.run(partial(made.add, values, where))
            return made
        anywhere = tuple(map(slice, part.argument.shape))
        operands = len(blockwise.operands(part.argument))
        batches = blockwise.batches(grid, np.arange(grid.nchunks), operands)
        works = (self._batch(part, grid, whole, ids) for whole, ids in batches)
        async with contextlib.aclosing(in_order(works, AHEAD)) as results:
            async for one in results:  # in order, so that a sum is always the same
                made.merge(one, anywhere)
        return made

    def _grid(self, part: Reduced, inner: Region) -> DatasetInfo | None:
        """Return the grid of chunks that may be reduced in any order; None if there is none."""
        whole = tuple(map(range, part.argument.shape))
        if not part.is_unordered or inner != whole:
            return None
        found = blockwise.grid(part.argument, self._sources)
        most = _max_items(part.argument, self._limits)
        return found if found is not None and math.prod(found.chunks) <= most else None

    async def _batch(
        self, part: Reduced, grid: DatasetInfo, whole: bool, ids: IntArray
    ) -> Accumulator:
        """Reduce some chunks of the argument: whole ones as they are stored."""
        node = part.argument
        made = _accumulator(part, node.shape)
        anywhere = tuple(map(slice, node.shape))

        def add(values: Values) -> None:
            made.add(values.reshape(-1, *(1,) * (len(node.shape) - 1)), anywhere)

        if whole:
            await blockwise.over(node, self._sources, ids, add)
            return made
        for n in ids.tolist():
            region = blockwise.region_of(grid, n)
            async with contextlib.aclosing(self._pieces(node, region)) as pieces:
                async for _, values in pieces:
                    await self._threads.run(partial(add, values))
        return made

    async def _begin(self, part: Reduced, inner: Region) -> Accumulator:
        return await self._threads.run(lambda: _accumulator(part, tuple(map(len, inner))))


def _accumulator(part: Reduced, shape: Shape) -> Accumulator:
    return accumulator(part.reduction, part.axes, shape, part.dtype, part.argument.dtype)


def _max_items(node: Plan, limits: ComputeLimits) -> int:
    """Count the items that are computed at a time in a bounded amount of memory."""
    read = sum(
        leaf.dtype.itemsize for leaf in {id(one): one for one in plans.leaves(node)}.values()
    )
    each = max(16, AHEAD * (read + 16 * node.depth) + (AHEAD + 1) * node.dtype.itemsize)
    return max(1, limits.compute_memory // each)


def _split(node: Plan, region: Region, limits: ComputeLimits) -> Iterator[Piece]:
    """Cut a region into pieces that are computed in a bounded amount of memory."""
    max_items = _max_items(node, limits)
    whole = Selection(node.shape, region)
    if whole.size <= max_items:
        yield region, tuple(slice(0, len(axis)) for axis in region)
        return
    cell = costs.shrink(costs.grid(node, limits)[0], max_items)
    for part, where in split(whole, cell, max(1, max_items // math.prod(cell))):
        yield tuple(axis for axis in part.axes if isinstance(axis, range)), where


def _is_all(values: Values, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return values.shape == shape and values.dtype == dtype and values.flags.c_contiguous


def part_at(values: Values, where: tuple[slice, ...]) -> Values:
    """Return the part of a staged node's values that a piece needs."""
    last = zip(values.shape, where[len(where) - values.ndim :], strict=True)
    return values[tuple(slice(0, 1) if size == 1 else part for size, part in last)]
