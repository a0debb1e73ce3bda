"""Evaluation of plans piece by piece, in bounded memory whatever the size of the selection.

Staged nodes (reductions, and slices of computed arrays) are computed first. The rest is one pass
over the pieces of the selection; operands of the next pieces are read while one is computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Iterator
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection, split
from caterva2.compute import costs, planning, plans
from caterva2.compute.plans import Applied, Plan, Reduced, Region, Sliced, Sources
from caterva2.compute.reducing import Accumulator, accumulator
from caterva2.compute.syntax import Number
from caterva2.errors import DeadlineExceeded
from caterva2.limits import DEFAULTS, ComputeLimits
from caterva2.runtime.lru import Lru
from caterva2.runtime.single_flight import SingleFlight
from caterva2.runtime.tasks import cancel_all

T = TypeVar("T")
AHEAD = 2
"""Pieces whose operands are read while another one is computed: one hides the reading, and a
second one its variation. Each takes a share of COMPUTE_MEMORY."""
NodeValues = dict[int, Values]
"""Values of leaves and staged nodes, by the identity of the node."""
Piece = tuple[Region, tuple[slice, ...]]
"""A region, and its place in the selection."""


class Threads(Protocol):
    """Runs blocking work."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in a thread and return its result."""
        ...


class ResultCache:
    """Results of reductions, least recently used first out, bounded in bytes.

    Parameters
    ----------
    max_bytes : int
    """

    def __init__(self, max_bytes: int = DEFAULTS.compute.computed_kept) -> None:
        self._max_bytes = max_bytes
        self._kept: Lru[Hashable, Values] = Lru(max_bytes, lambda values: values.nbytes)
        self._flights: SingleFlight[Hashable, Values] = SingleFlight()

    async def get(
        self, key: Hashable, compute: Callable[[], Coroutine[Any, Any, Values]]
    ) -> Values:
        """Return the result of a key; concurrent callers share one computation of it."""
        found = self._kept.get(key)
        if found is None:
            found = await self._flights.run(key, partial(self._compute, key, compute))
        return found

    async def _compute(
        self, key: Hashable, compute: Callable[[], Coroutine[Any, Any, Values]]
    ) -> Values:
        found = await compute()
        if found.nbytes <= self._max_bytes // 2:  # one result never drops all others
            self._kept.put(key, found)
        return found


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
        parts = _split(node, region, self._limits)
        ahead: deque[tuple[Piece, asyncio.Task[NodeValues]]] = deque()
        try:
            while True:
                for piece in itertools.islice(parts, AHEAD - len(ahead)):
                    ahead.append((piece, asyncio.create_task(self._read(node, piece[0]))))
                if not ahead:
                    return
                piece, task = ahead[0]
                held = await task
                ahead.popleft()
                held |= {key: part_at(values, piece[1]) for key, values in staged.items()}
                yield piece, await self._threads.run(partial(computed, node, held))
        finally:
            await cancel_all([task for _, task in ahead])

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
        if all(inner):
            async with contextlib.aclosing(self._pieces(part.argument, inner)) as pieces:
                async for (_, where), values in pieces:
                    await self._threads.run(partial(made.add, values, where))
        return made

    async def _begin(self, part: Reduced, inner: Region) -> Accumulator:
        given = part.reduction, part.axes, tuple(map(len, inner)), part.dtype, part.argument.dtype
        return await self._threads.run(partial(accumulator, *given))


def _split(node: Plan, region: Region, limits: ComputeLimits) -> Iterator[Piece]:
    """Cut a region into pieces that are computed in a bounded amount of memory."""
    read = sum(
        leaf.dtype.itemsize for leaf in {id(one): one for one in plans.leaves(node)}.values()
    )
    # Operands are held for all pieces that are read ahead, the rest for the one that is computed.
    each = max(16, read * (AHEAD + 1) + node.dtype.itemsize + 16 * node.depth)
    max_items = max(1, limits.compute_memory // each)
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


def computed(node: Plan, held: NodeValues) -> Values:
    """Apply the functions of a plan to the values of its leaves and staged nodes."""
    if not isinstance(node, Applied):
        return held[id(node)]
    return planning.apply(node.function, [
        argument.value if isinstance(argument, Number) else computed(argument, held)
        for argument in node.arguments
    ])  # fmt: skip
