"""Evaluation with workers: large parts of a plan are computed elsewhere, piece by piece.

A piece is handed over as a `Task`, with what it needs of staged nodes, and a worker reads the
operands by itself. Results come back in the order of the pieces, so that they do not depend on
which worker is the quickest. If the workers fail, everything is computed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import math
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

import numpy as np

from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection, split
from caterva2.compute import costs, plans
from caterva2.compute.evaluation import (
    Evaluation,
    Evaluator,
    Piece,
    Threads,
    part_at,
)
from caterva2.compute.plans import NodeValues, Plan, Reduced, Region, Sources
from caterva2.compute.reducing import Accumulator
from caterva2.compute.results import ResultCache
from caterva2.limits import DEFAULTS, ClusterLimits, ComputeLimits
from caterva2.runtime.tasks import cancel_all

STATE_ITEM = 32
"""Bytes of an accumulator for each item of its result, at most."""
Where = tuple[slice, ...]


class WorkersAway(Exception):
    """The workers can't compute now: they are away, slow, or can't read the operands."""


@dataclass(frozen=True, slots=True)
class Task:
    """A piece for a worker.

    Parameters
    ----------
    node : Plan
    region : tuple of range
        Of the node; of its argument if it is to be reduced.
    staged : tuple of ndarray
        Values of the staged nodes, in their order.
    reduces : bool
        Whether the result is the accumulator of a reduction, and not values.
    limits : ComputeLimits
    """

    node: Plan
    region: Region
    staged: tuple[Values, ...]
    reduces: bool
    limits: ComputeLimits


Result = Values | Accumulator


class Hands(Protocol):
    """Workers that may read the operands of one computation.

    Attributes
    ----------
    threads : int
        Pieces that they compute at a time.
    """

    threads: int

    async def compute(self, task: Task) -> Result:
        """Have a piece computed; `WorkersAway` if that fails for a reason of the workers' own."""
        ...

    def give_up(self, reason: str) -> None:
        """Report workers that can't be used any longer, and why."""
        ...


class Workers(Protocol):
    """Workers that compute for one user."""

    def hold(self, sources: Sources) -> AbstractAsyncContextManager[Hands]:
        """Let workers read the operands while the context is entered, with the user's rights.

        Raises
        ------
        WorkersAway
        """
        ...


class SharedEvaluator(Evaluator):
    """Computes values of plans, large parts of them by workers.

    Parameters
    ----------
    threads : Threads
    results : ResultCache
    limits : ComputeLimits
    workers : Workers
    bounds : ClusterLimits
    """

    def __init__(
        self,
        threads: Threads,
        results: ResultCache,
        limits: ComputeLimits,
        workers: Workers,
        bounds: ClusterLimits = DEFAULTS.cluster,
    ) -> None:
        super().__init__(threads, results, limits)
        self._workers = workers
        self._bounds = bounds
        self._least = bounds.cluster_least

    def for_parts_of(self, node: Plan) -> Evaluator:
        """Return what computes a result in parts: any of them is shared if the whole would be."""
        whole = tuple(map(range, node.shape))
        if costs.read_at_once(node, whole) < self._least:
            return self
        made = copy.copy(self)
        made._least, made.elsewhere = 1, True
        held = self._bounds.cluster_held // self._limits.computed_chunk
        made.ahead = max(1, min(self._limits.user_computations, held))
        return made

    def _evaluation(self, sources: Sources) -> Evaluation:
        made = _SharedEvaluation(self._threads, self._results, self._limits, sources)
        made.share(self._workers, self._bounds, self._least)
        return made


class _SharedEvaluation(Evaluation):
    """One evaluation, of which workers compute the large parts."""

    def share(self, workers: Workers, bounds: ClusterLimits, least: int) -> None:
        self._workers, self._bounds, self._least = workers, bounds, least

    async def region(self, node: Plan, region: Region) -> Values:
        """Compute a region of a plan's result."""
        if self._is_large(node, region):
            with contextlib.suppress(WorkersAway):
                return await self._shared_region(node, region)
        return await super().region(node, region)

    async def _shared_region(self, node: Plan, region: Region) -> Values:
        result = np.empty(tuple(map(len, region)), node.dtype)
        async with contextlib.aclosing(self._results_of(node, node, region)) as results:
            async for where, found in results:
                result[where] = found
        return result

    async def accumulated(self, part: Reduced, inner: Region) -> Accumulator:
        """Reduce a region of the argument of a reduction, without finishing it."""
        if self._is_large(part.argument, inner):
            with contextlib.suppress(WorkersAway):
                return await self._shared_reduction(part, inner)
        return await super().accumulated(part, inner)

    async def _shared_reduction(self, part: Reduced, inner: Region) -> Accumulator:
        made = await self._begin(part, inner)
        async with contextlib.aclosing(self._results_of(part, part.argument, inner)) as results:
            async for where, found in results:
                await self._threads.run(partial(made.merge, cast("Accumulator", found), where))
        return made

    def _is_large(self, node: Plan, region: Region) -> bool:
        return all(region) and costs.read_at_once(node, region) >= self._least

    async def _results_of(
        self, part: Plan, node: Plan, region: Region
    ) -> AsyncGenerator[tuple[Where, Result]]:
        """Yield the places and results of the pieces of a region, in order."""
        staged = await self._staged(node, region)
        async with self._workers.hold(self._sources) as hands:
            pieces = list(_pieces(node, region, self._bounds.cluster_piece))
            most = max(_result_size(part, piece) for piece, _ in pieces)
            ahead = min(2 * min(hands.threads, self._bounds.cluster_threads), len(pieces))
            ahead = max(1, min(ahead, self._bounds.cluster_held // max(most, 1)))
            tasks = (
                (where, Task(part, piece, _parts(staged, where), part is not node, self._limits))
                for piece, where in pieces
            )
            async with contextlib.aclosing(self._in_order(hands, tasks, ahead)) as results:
                async for result in results:
                    yield result

    async def _in_order(
        self, hands: Hands, tasks: Iterable[tuple[Where, Task]], most: int
    ) -> AsyncGenerator[tuple[Where, Result]]:
        ahead: deque[tuple[Where, asyncio.Task[Result]]] = deque()
        patience, left = self._bounds.cluster_patience, iter(tasks)
        try:
            while True:
                for where, task in itertools.islice(left, most - len(ahead)):
                    ahead.append((where, asyncio.create_task(hands.compute(task))))
                if not ahead:
                    return
                where, running = ahead[0]
                done, _ = await asyncio.wait([running], timeout=patience)
                if not done:
                    hands.give_up(f"no piece is computed within CLUSTER_PATIENCE, {patience:g} s")
                    raise WorkersAway
                ahead.popleft()
                yield where, running.result()
        finally:
            await cancel_all([running for _, running in ahead])


def _pieces(node: Plan, region: Region, most: int) -> Iterator[Piece]:
    """Cut a region into pieces of which each is for one worker."""
    whole = Selection(node.shape, region)
    read = {id(leaf): leaf.dtype.itemsize for leaf in plans.leaves(node)}
    max_items = max(1, most // max(sum(read.values()), 1))
    if whole.size <= max_items:
        yield region, tuple(slice(0, len(axis)) for axis in region)
        return
    cell = costs.shrink(costs.grid(node)[0], max_items)
    for part, where in split(whole, cell, max(1, max_items // math.prod(cell))):
        yield tuple(axis for axis in part.axes if isinstance(axis, range)), where


def _result_size(part: Plan, region: Region) -> int:
    if not isinstance(part, Reduced):
        return math.prod(map(len, region)) * part.dtype.itemsize
    kept = (len(axis) for n, axis in enumerate(region) if n not in part.axes)
    return math.prod(kept) * STATE_ITEM


def _parts(staged: NodeValues, where: Where) -> tuple[Values, ...]:
    return tuple(part_at(values, where) for values in staged.values())


class _GivenEvaluation(Evaluation):
    """An evaluation at a worker: what is staged was computed before."""

    given: tuple[Values, ...] = ()

    async def _staged(self, node: Plan, region: Region) -> NodeValues:
        keys = dict.fromkeys(id(part) for part in plans.staged(node))
        return dict(zip(keys, self.given, strict=True))


async def perform(task: Task, sources: Sources, threads: Threads) -> Result:
    """Compute a piece at a worker, in as little memory as the subscriber would.

    Raises
    ------
    TimeoutError
        After COMPUTE_DEADLINE.
    """
    evaluation = _GivenEvaluation(threads, ResultCache(), task.limits, sources)
    evaluation.given = task.staged
    async with asyncio.timeout(task.limits.compute_deadline):
        if task.reduces:
            assert isinstance(task.node, Reduced)
            return await evaluation.accumulated(task.node, task.region)
        return await evaluation.region(task.node, task.region)
