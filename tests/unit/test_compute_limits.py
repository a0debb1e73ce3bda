"""Expressions that do not fit their operands or cost too much: refused, in time."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import numpy as np
import pytest

from caterva2.arrays import selection
from caterva2.arrays.fields import FieldPath
from caterva2.arrays.selection import Selection
from caterva2.compute.evaluation import Evaluator
from caterva2.compute.plans import Plan
from caterva2.compute.results import ResultCache
from caterva2.errors import BadExpression, DeadlineExceeded, TooLarge
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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a + c", "Expression error: c is not in the list of available datasets"),
        ("a + d", "Runtime error: add: .* can't be broadcast"),
        ("sum(a, axis=3)", "not axes of 3 dimensions"),
        ("sum(a, axis=(0, 0))", "twice"),
        ("a[3]", "out of bounds"),
        ("a[0, 0, 0, 0]", "too many indices"),
        ("a & b", "Runtime error: bitwise_and"),
        ("b ** -1", "Integers to negative integer powers"),
        ("b.sum() + 2**64 - 1", "Runtime error|larger"),
        ("e + 300", "Runtime error: add: Python integer 300 out of bounds"),
        ("1 + 1", "not an array of numbers"),
        ("sum(1)", "a number has no axes"),
        ("r", "name a field of it"),
        ("r['z']", "does not exist"),
        ("r['v']", "holds arrays"),
        ("a['x']", "does not exist"),
        ("s", "which is not a number"),
        ("max(n)", "of nothing"),
        ("mean(t)", "mean of times"),
        ("t * t", "Runtime error"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_computed(text: str, why: str) -> None:
    operands: dict[str, Array] = {
        "a": CUBE, "b": SHEET, "d": np.zeros(7), "e": np.zeros(3, "i1"),
        "r": np.zeros(3, [("x", "f4"), ("v", "f4", 2)]), "s": np.array(["x", "y"]),
        "n": np.zeros(0), "t": np.zeros(3, "M8[s]"),
    }  # fmt: skip
    with pytest.raises(BadExpression, match=why):
        plan(text, **operands)


def test_what_only_values_tell_is_an_error_when_they_are_read() -> None:
    node = plan("a ** b", a=np.arange(4), b=np.array([1, -1, 0, 2]))
    assert node.shape == (4,)
    with pytest.raises(BadExpression, match="negative integer powers"):
        computed(node)


def test_huge_result_is_refused() -> None:
    side = StoredDataset(np.zeros((2**21, 1), "i1"))
    with pytest.raises(TooLarge, match="COMPUTED_BYTES"):
        plan("a + b[:, 0]", a=side, b=side)


def test_huge_result_is_computed_where_it_is_read() -> None:
    side = StoredDataset(np.arange(2**15, dtype="i4")[:, None])
    node = plan("a + a[:, 0]", a=side)
    assert node.shape == (2**15, 2**15)
    same(computed(node, (slice(7, 9), slice(100, 102))), np.array([[107, 108], [108, 109]], "i4"))
    assert side.read == 4


def test_too_much_of_the_operands_is_refused() -> None:
    limits = dataclasses.replace(LIMITS, compute_operands=8 * 1000)
    held = StoredDataset(np.zeros(2000), (100,))
    same(computed(plan("sum(a[:1000])", a=held), limits=limits), 0.0)
    with pytest.raises(TooLarge, match="COMPUTE_OPERANDS is 8000"):
        computed(plan("sum(a)", a=held), limits=limits)
    assert held.read == 1000


def test_too_large_a_part_is_refused() -> None:
    limits = dataclasses.replace(LIMITS, compute_staged=1000)
    with pytest.raises(TooLarge, match="COMPUTE_STAGED is 1000"):
        computed(plan("sum(mean(a, axis=1) + 1)", a=np.zeros((1000, 2))), limits=limits)


def test_parts_that_are_held_at_once_are_counted_together() -> None:
    limits = dataclasses.replace(LIMITS, compute_staged=2 * 8 * 99)
    two = "(a + 1)[1:] - (a + 1)[:-1]"

    def found(node: Plan) -> Array:
        return computed(node, limits=limits)

    same(found(plan(two, a=np.zeros(100))), np.zeros(99))
    same(found(plan("x + x", x=plan("(a + 1)[1:]", a=np.zeros(100)))), np.full(99, 2.0))
    same(found(plan(f"sum({two}) + sum({two})", a=np.zeros(99))), 0.0)
    with pytest.raises(TooLarge, match="COMPUTE_STAGED"):
        found(plan(f"{two} + (a * 2)[1:]", a=np.zeros(100)))


def test_time_is_bounded() -> None:
    limits = dataclasses.replace(LIMITS, compute_deadline=0.05)

    class Slow(StoredDataset):
        async def values(self, wanted: Selection, field: FieldPath = ()) -> Array:
            await asyncio.sleep(30)
            raise AssertionError

    with pytest.raises(DeadlineExceeded, match="COMPUTE_DEADLINE"):
        computed(plan("a + 1", a=Slow(np.zeros(3))), limits=limits)


def test_a_cancelled_evaluation_stops_all_that_it_began() -> None:
    class Slow(StoredDataset):
        running = 0

        async def values(self, wanted: Selection, field: FieldPath = ()) -> Array:
            self.running += 1
            try:
                await asyncio.sleep(0.01)
            finally:
                self.running -= 1
            return await super().values(wanted, field)

    held = Slow(np.zeros((50, 40)), (5, 5))
    node = plan("a - sum(a * 2)", a=held)

    async def given_up() -> set[asyncio.Task[Any]]:
        whole = selection.whole(node.shape)
        evaluator = Evaluator(Here(), ResultCache(), SMALL)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(evaluator.values(node, SOURCES, whole), 0.05)
        for _ in range(10):  # a reduction that was shared ends by itself
            await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]

    assert asyncio.run(given_up()) == set()
    assert held.running == 0
    assert 0 < held.read < 2000


def test_expressions_over_expressions_do_not_grow_without_bound() -> None:
    node: Plan = plan("a + a", a=np.zeros(3))
    with pytest.raises(BadExpression, match="EXPRESSION_NODES"):
        for _ in range(20):
            node = plan("x + x", x=node)
    node = plan("a + 1", a=np.zeros(3))
    with pytest.raises(BadExpression, match="EXPRESSION_DEPTH"):
        for _ in range(200):
            node = plan("x + 1", x=node)
