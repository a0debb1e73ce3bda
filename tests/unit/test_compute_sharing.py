"""Expressions whose large parts workers compute: the results of one process, whatever they do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from caterva2.arrays import selection
from caterva2.compute import sharing
from caterva2.compute.evaluation import Evaluator
from caterva2.compute.plans import Plan, Sources
from caterva2.compute.results import ResultCache
from caterva2.compute.sharing import Result, SharedEvaluator, Task, WorkersAway
from caterva2.errors import StaleVersion
from caterva2.limits import DEFAULTS, ClusterLimits
from tests.unit.computing import (
    CUBE,
    LIMITS,
    SHEET,
    SMALL,
    SOURCES,
    Array,
    Here,
    StoredDataset,
    computed,
    plan,
    same,
)

FEW = dataclasses.replace(DEFAULTS.cluster, cluster_least=1, cluster_piece=64)
"""So little that everything is handed over, in many pieces."""
Fault = Callable[[int], Any]


class Pretended:
    """Workers that are here, and get copies of all that they are handed."""

    threads = 2

    def __init__(self, fault: Fault = lambda n: None) -> None:
        self.tasks = self.running = self.most = self.ended = 0
        self.given_up: list[str] = []
        self._fault = fault

    @contextlib.asynccontextmanager
    async def hold(self, sources: Sources) -> AsyncIterator[Pretended]:
        self._sources = sources
        try:
            yield self
        finally:
            self.ended += 1

    def give_up(self, reason: str) -> None:
        self.given_up.append(reason)

    async def compute(self, task: Task) -> Result:
        self.tasks += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            fault = self._fault(self.tasks)
            if isinstance(fault, Exception):
                raise fault
            if fault:
                await asyncio.sleep(fault)
            sent: Task = pickle.loads(pickle.dumps(task))
            found: Result = pickle.loads(
                pickle.dumps(await sharing.perform(sent, self._sources, Here()))
            )
            return found
        finally:
            self.running -= 1


def shared(node: Plan, workers: Pretended, bounds: ClusterLimits = FEW, key: Any = ()) -> Array:
    evaluator = SharedEvaluator(Here(), ResultCache(), SMALL, workers, bounds)
    part = selection.normalise(key, node.shape)
    return asyncio.run(evaluator.values(node, SOURCES, part))


@pytest.mark.parametrize(
    "text",
    [
        "a * 2 + 1", "a - mean(a)", "a - mean(a, axis=0)", "sum(a, axis=(0, 2))", "prod(a, axis=1)",
        "min(a)", "max(a, axis=2)", "any(a > 3, axis=0)", "all(a >= 0)", "count_nonzero(a, axis=1)",
        "std(a)", "var(a, axis=1, ddof=1)", "argmin(a)", "argmax(a)", "argmax(a, axis=0)",
        "argmin(a, axis=2)", "argmax(where(a > 5, nan, a), axis=1)", "argmax(where(a > 5, nan, a))",
        "mean((a - mean(a, axis=0))[1:], axis=2)", "a[::2] * std(a, axis=0)", "(a > 3) & (a < 5)",
        "sum(a + b)", "a * b - sum(b)", "mean(a + 1j)", "var(a * 1j, axis=0)",
    ],
)  # fmt: skip
def test_workers_compute_what_one_process_does(text: str) -> None:
    workers = Pretended()
    names = {"a": CUBE, "b": SHEET} if "b" in text else {"a": CUBE}
    node = plan(text, **names)
    same(shared(node, workers), computed(node))
    assert workers.tasks > 5
    assert workers.running == 0


def test_only_what_is_wanted_is_handed_over() -> None:
    workers, node = Pretended(), plan("mean(a, axis=0) + a", a=CUBE)
    same(shared(node, workers, key=(1, slice(1, 3))), (CUBE.mean(axis=0) + CUBE)[1, 1:3])


def test_what_is_small_is_computed_here() -> None:
    workers, node = Pretended(), plan("mean(a)", a=CUBE)
    for least, shares in ((CUBE.nbytes + 1, False), (CUBE.nbytes, True)):
        same(shared(node, workers, dataclasses.replace(FEW, cluster_least=least)), CUBE.mean())
        assert bool(workers.tasks) is shares


def test_results_that_are_awaited_are_bounded() -> None:
    workers, node = Pretended(), plan("a + 1", a=CUBE)
    shared(node, workers)
    assert workers.most == 4  # two pieces a thread
    workers = Pretended()
    shared(node, workers, dataclasses.replace(FEW, cluster_held=80))  # each has 40
    assert workers.most == 2
    workers = Pretended()
    shared(node, workers, dataclasses.replace(FEW, cluster_threads=1))
    assert workers.most == 2


@pytest.mark.parametrize("text", ["a + 1", "mean(a, axis=1)", "a - mean(a)"])
@pytest.mark.parametrize("last", [1, 3])
def test_everything_is_computed_here_when_workers_fail(text: str, last: int) -> None:
    workers = Pretended(lambda n: WorkersAway() if n >= last else None)
    node = plan(text, a=CUBE)
    same(shared(node, workers), computed(node))
    assert workers.running == 0


def test_workers_that_can_not_be_had_are_done_without() -> None:
    class Away(Pretended):
        @contextlib.asynccontextmanager
        async def hold(self, sources: Sources) -> AsyncIterator[Pretended]:
            raise WorkersAway
            yield self

    node = plan("a - mean(a)", a=CUBE)
    same(shared(node, Away()), computed(node))


def test_slow_workers_are_given_up() -> None:
    workers, node = Pretended(lambda n: 60 if n == 2 else None), plan("sum(a)", a=CUBE)
    same(shared(node, workers, dataclasses.replace(FEW, cluster_patience=0.05)), CUBE.sum())
    assert workers.given_up == ["no piece is computed within CLUSTER_PATIENCE, 0.05 s"]
    assert workers.running == 0


def test_errors_about_operands_reach_the_reader() -> None:
    workers = Pretended(lambda n: StaleVersion("a changed") if n == 3 else None)
    with pytest.raises(StaleVersion, match="a changed"):
        shared(plan("sum(a)", a=CUBE), workers)
    assert (workers.running, workers.ended) == (0, 1)


def test_cancelled_computation_ends_its_pieces_and_their_rights() -> None:
    workers, node = Pretended(lambda n: 60), plan("sum(a)", a=CUBE)

    async def cancelled() -> None:
        evaluator = SharedEvaluator(Here(), ResultCache(), SMALL, workers, FEW)
        part = selection.normalise((), node.shape)
        task = asyncio.create_task(evaluator.values(node, SOURCES, part))
        while workers.running < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The reduction is a task of its own, which others may share.
        while workers.running:  # noqa: ASYNC110
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(cancelled(), 20))
    assert workers.ended == 1


def test_parts_of_a_large_result_are_shared_though_each_is_small() -> None:
    bounds = dataclasses.replace(FEW, cluster_least=CUBE.nbytes)
    workers, node = Pretended(), plan("a + 1", a=StoredDataset(CUBE, (1, 4, 5)))
    whole = SharedEvaluator(Here(), ResultCache(), SMALL, workers, bounds)
    parts: Evaluator = whole.for_parts_of(node)
    assert (whole.ahead, parts.ahead) == (1, LIMITS.user_computations)
    assert (whole.elsewhere, parts.elsewhere) == (False, True)
    part = selection.normalise((0, 1), node.shape)
    for evaluator, shares in ((whole, False), (parts, True)):
        same(asyncio.run(evaluator.values(node, SOURCES, part)), CUBE[0, 1] + 1)
        assert bool(workers.tasks) is shares
    assert whole.for_parts_of(plan("a[0] + 1", a=StoredDataset(CUBE, (1, 4, 5)))) is whole
