"""Coroutines of which some run at a time"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from caterva2.runtime.tasks import Tasks, in_order


def test_results_are_in_order_and_few_run_at_a_time() -> None:
    running: list[int] = []
    most = 0

    async def work(n: int) -> int:
        nonlocal most
        running.append(n)
        most = max(most, len(running))
        for _ in range(9 - n):  # the later it starts, the earlier it ends
            await asyncio.sleep(0)
        running.remove(n)
        return n

    async def go() -> list[int]:
        return [n async for n in in_order((work(n) for n in range(9)), 3)]

    assert asyncio.run(go()) == list(range(9))
    assert most == 3


def test_those_that_run_end_with_the_reader_and_with_a_failure() -> None:
    ended: list[int] = []

    async def work(n: int) -> int:
        try:
            if n == 1:
                await asyncio.sleep(0)
                raise ValueError("no")
            if n > 1:
                await asyncio.Event().wait()
            return n
        finally:
            ended.append(n)

    async def failing() -> None:
        with pytest.raises(ValueError, match="no"):
            async for n in in_order((work(n) for n in range(4)), 3):
                assert n == 0
        assert sorted(ended) == [0, 1, 2, 3]

    async def closed() -> None:
        async with contextlib.aclosing(in_order((work(n) for n in (0, 2, 3)), 2)) as results:
            assert await anext(results) == 0
        assert sorted(ended) == [0, 2]

    asyncio.run(failing())
    ended.clear()
    asyncio.run(closed())


def test_nothing_begins_after_the_end() -> None:
    async def go() -> None:
        async with Tasks() as tasks:
            pass

        async def late() -> None:
            raise AssertionError("it ran")

        tasks.start(late(), "late")
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())
