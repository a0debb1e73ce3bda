"""How expressions are computed: what is read, done once, kept, and in which pieces."""

from __future__ import annotations

import asyncio
import dataclasses
import math

import numpy as np
import pytest

from caterva2.compute import costs
from caterva2.compute.results import ResultCache
from caterva2.errors import BadExpression
from tests.unit.computing import (
    CUBE,
    LIMITS,
    SHEET,
    SMALL,
    Array,
    StoredDataset,
    computed,
    plan,
    same,
)


def test_memory_is_bounded_whatever_is_selected() -> None:
    held = StoredDataset(np.zeros((50, 40)), (20, 20))
    computed(plan("sum(a * 2 + 1)", a=held), limits=SMALL)
    assert held.read == 2000
    assert held.most * 8 * 2 < SMALL.compute_memory


def test_memory_of_a_computation_is_for_the_pieces_that_are_computed_at_a_time() -> None:
    held = StoredDataset(np.zeros((40, 40)), (20, 40))
    # An item takes 8 bytes and 16 for each of three levels in two pieces; there are three results.
    limits = dataclasses.replace(LIMITS, compute_memory=800 * (2 * (8 + 3 * 16) + 3 * 8))
    computed(plan("a * 2 + 1", a=held), limits=limits)
    assert held.most == 800


def test_only_what_is_wanted_is_read() -> None:
    held = StoredDataset(CUBE)
    same(computed(plan("a * 2", a=held), (1, slice(2, 4))), CUBE[1, 2:4] * 2)
    assert held.read == 10
    same(computed(plan("sum(a, axis=0)", a=held), (0, 1)), CUBE[:, 0, 1].sum())
    assert held.read == 10 + 3


def test_reduction_is_done_once_for_all_pieces_and_readers() -> None:
    held, results = StoredDataset(CUBE), ResultCache()
    node = plan("a - mean(a)", a=held)
    computed(node, (), results, SMALL)
    assert held.read == 2 * CUBE.size
    computed(plan("a - mean(a)", a=held), (0, 0, 0), results, SMALL)
    assert held.read == 2 * CUBE.size + 1


def test_reduction_as_large_as_there_may_be_is_kept() -> None:
    kept, tries = ResultCache(), []

    async def make() -> Array:
        tries.append(1)
        return np.empty(LIMITS.compute_staged, "i1")

    async def twice() -> None:
        await kept.get("k", make)
        await kept.get("k", make)

    asyncio.run(twice())
    assert len(tries) == 1


def test_reductions_that_are_kept_are_bounded() -> None:
    kept, made = ResultCache(max_bytes=800), []

    async def get(key: int) -> None:
        async def make() -> Array:
            made.append(key)
            return np.zeros(10)

        await kept.get(key, make)

    async def many() -> None:
        for key in [*range(100), 95, 89]:
            await get(key)

    asyncio.run(many())
    assert made == [*range(100), 89]


def test_a_failed_reduction_fails_for_all_waiting_callers_and_is_tried_again() -> None:
    kept, tries = ResultCache(), []

    async def make() -> Array:
        tries.append(1)
        await asyncio.sleep(0.01)
        if len(tries) == 1:
            raise BadExpression("first")
        return np.ones(1)

    async def work() -> None:
        both = await asyncio.gather(
            kept.get("k", make), kept.get("k", make), return_exceptions=True
        )
        assert all(isinstance(error, BadExpression) for error in both)
        assert await kept.get("k", make) is await kept.get("k", make)

    asyncio.run(work())
    assert len(tries) == 2


def test_a_reduction_goes_on_when_one_of_its_callers_is_cancelled() -> None:
    kept, tries = ResultCache(), []

    async def make() -> Array:
        tries.append(1)
        await asyncio.sleep(0.01)
        return np.ones(1)

    async def work() -> Array:
        first = asyncio.create_task(kept.get("k", make))
        second = asyncio.create_task(kept.get("k", make))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(work()) == 1
    assert len(tries) == 1


def test_result_has_the_grid_of_an_operand_that_is_like_it() -> None:
    a, b = StoredDataset(CUBE, (2, 2, 3)), StoredDataset(SHEET, (2, 2))
    assert costs.grid(plan("b + a", a=a, b=b)) == ((2, 2, 3), (2, 2, 3))
    assert costs.grid(plan("a[1:] - a[:-1]", a=a)) == ((2, 2, 3), (2, 2, 3))
    assert costs.grid(plan("a[:1]", a=a)) == ((1, 2, 3), (1, 2, 3))


@pytest.mark.parametrize(
    "text", ["a", "a + 1j", "a + a[:, :1]", "sum(a, axis=0)", "a[0]", "a[:0]", "sum(a)"]
)
def test_chunks_of_a_result_are_small_enough(text: str) -> None:
    node = plan(text, a=StoredDataset(np.zeros((100, 100)), (50, 100)))
    chunks, blocks = costs.grid(node, dataclasses.replace(LIMITS, computed_chunk=1024))
    assert all(0 < block <= chunk for chunk, block in zip(chunks, blocks, strict=True))
    assert math.prod(chunks) * node.dtype.itemsize <= max(
        1024, 1024 * node.dtype.itemsize * (0 in node.shape)
    )


def test_key_of_a_result_differs_with_its_content() -> None:
    held = StoredDataset(CUBE)
    keys = [
        plan(text, a=held, b=SHEET).key
        for text in ("a", "a + 1", "a + 1.0", "a - 1", "a[0]", "a[1]", "sum(a)", "sum(a, 0)", "b")
    ]
    assert len(set(keys)) == len(keys)
    other = StoredDataset(CUBE)
    other.info = other.info.model_copy(update={"etag": "v2"})
    assert plan("a", a=held).key == plan("a", a=StoredDataset(CUBE)).key != plan("a", a=other).key
