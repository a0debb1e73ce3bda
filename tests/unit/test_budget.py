"""Bytes that tasks may hold at once."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from caterva2.errors import Busy
from caterva2.runtime.budget import Budget

SOON = 5.0


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a coroutine as a test."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


async def turn() -> None:
    """Let all other tasks go as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


@on_a_loop
async def test_what_fits_is_given_at_once() -> None:
    budget = Budget(10)
    first, second = await budget.take(4, 0), await budget.take(6, 0)
    assert budget.used == 10
    first.release()
    second.release()
    assert budget.idle


@on_a_loop
async def test_a_hold_is_given_back_once() -> None:
    budget = Budget(10)
    hold = await budget.take(4, 0)
    hold.release()
    hold.release()
    assert budget.used == 0


@on_a_loop
async def test_a_forgotten_hold_is_given_back() -> None:
    budget = Budget(10)
    await budget.take(4, 0)
    assert budget.used == 0


@on_a_loop
async def test_who_does_not_fit_waits_for_its_turn() -> None:
    budget = Budget(10)
    first = await budget.take(8, 0)
    large = asyncio.create_task(budget.take(9, SOON))
    await turn()
    small = asyncio.create_task(budget.take(1, SOON))  # it would fit, but it came later
    await turn()
    assert not large.done() and not small.done()
    first.release()
    holds = await large, await small
    assert budget.used == 10
    del holds


@on_a_loop
async def test_more_than_everything_is_given_when_nobody_holds_anything() -> None:
    budget = Budget(10)
    hold = await budget.take(25, 0)
    with pytest.raises(Busy):
        await budget.take(1, 0.01)
    hold.release()
    assert budget.idle


@on_a_loop
async def test_no_room_in_time_is_told() -> None:
    budget = Budget(10)
    hold = await budget.take(8, 0)
    with pytest.raises(Busy, match="no memory"):
        await budget.take(8, 0.01)
    hold.release()
    assert budget.idle


@on_a_loop
async def test_a_cancelled_wait_takes_nothing_and_lets_the_next_go() -> None:
    budget = Budget(10)
    hold = await budget.take(8, 0)
    large = asyncio.create_task(budget.take(9, SOON))
    await turn()
    small = asyncio.create_task(budget.take(2, SOON))
    await turn()
    large.cancel()
    await small
    hold.release()
    await turn()
    assert large.cancelled()


@on_a_loop
async def test_a_wait_that_is_cancelled_as_it_is_granted_takes_nothing() -> None:
    budget = Budget(10)
    hold = await budget.take(8, 0)
    waiting = asyncio.create_task(budget.take(9, SOON))
    await turn()
    hold.release()
    waiting.cancel()
    await turn()
    assert waiting.cancelled()
    assert budget.idle


@on_a_loop
async def test_what_was_not_foreseen_is_counted() -> None:
    budget = Budget(10)
    hold = await budget.take(2, 0)
    hold.grow(30)
    assert budget.used == 30
    hold.release()
    assert budget.idle


@on_a_loop
async def test_a_share_counts_in_the_whole() -> None:
    whole = Budget(10)
    hold = await Budget(8, within=whole).take(6, 0)
    assert whole.used == 6
    with pytest.raises(Busy):
        other = Budget(8, within=whole)
        one = await other.take(4, 0)
        await other.take(1, 0.01)
    hold.release()
    one.release()
    assert whole.idle


@on_a_loop
async def test_who_holds_nothing_gets_one_when_the_others_have_used_up_the_whole() -> None:
    whole = Budget(10)
    greedy, modest = Budget(10, within=whole), Budget(10, within=whole)
    hold = await greedy.take(10, 0)
    first = await modest.take(3, 0)
    second = asyncio.create_task(modest.take(3, SOON))
    await turn()
    assert not second.done()
    first.release()
    await second
    hold.release()
