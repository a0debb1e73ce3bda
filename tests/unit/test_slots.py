"""Computation slots: how many a user gets, and what is left for others."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import pytest

from caterva2.compute.slots import FairSlots
from caterva2.errors import Busy
from caterva2.limits import DEFAULTS

LIMITS = dataclasses.replace(DEFAULTS.compute, computation_wait=0.01)
EACH = LIMITS.user_computations


async def taken(slots: FairSlots, user: str, held: contextlib.AsyncExitStack) -> int:
    """Take slots until there are no more, and return their number."""
    for count in range(100):
        try:
            await held.enter_async_context(slots.slot(user))
        except Busy as error:
            assert f"USER_COMPUTATIONS={EACH}" in error.detail
            return count
    raise AssertionError


def test_one_user_does_not_take_all_slots() -> None:
    async def check() -> None:
        slots = FairSlots(LIMITS)
        async with contextlib.AsyncExitStack() as held:
            assert await taken(slots, "", held) == EACH
            assert await taken(slots, "ann", held) == EACH

    asyncio.run(check())


def test_each_user_has_one_slot_when_others_have_the_rest() -> None:
    async def check() -> None:
        slots = FairSlots(LIMITS)
        async with contextlib.AsyncExitStack() as held:
            for user in ("", "ann"):
                await taken(slots, user, held)
            assert await taken(slots, "bob", held) == 1
            assert await taken(slots, "eve", held) == 1

    asyncio.run(check())


def test_a_computation_that_ends_gives_one_slot_to_its_user_and_not_a_fresh_share() -> None:
    async def check() -> None:
        slots = FairSlots(LIMITS)
        async with contextlib.AsyncExitStack() as held:
            async with slots.slot("ann"):
                for _ in range(EACH - 1):
                    await held.enter_async_context(slots.slot("ann"))
            assert await taken(slots, "ann", held) == 1

    asyncio.run(check())


def test_slots_are_given_back_whatever_happens() -> None:
    async def check() -> None:
        slots = FairSlots(LIMITS)
        for _ in range(2):
            with contextlib.suppress(ArithmeticError):
                async with contextlib.AsyncExitStack() as held:
                    assert await taken(slots, "ann", held) == EACH
                    raise ArithmeticError
        assert slots.users == 0

    asyncio.run(check())


def test_a_user_who_waits_is_counted_until_the_wait_ends() -> None:
    async def check() -> None:
        slots = FairSlots(dataclasses.replace(LIMITS, computation_wait=30))
        async with contextlib.AsyncExitStack() as held:
            for _ in range(EACH):
                await held.enter_async_context(slots.slot("ann"))
            waiting = asyncio.create_task(held.enter_async_context(slots.slot("ann")))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert slots.users == 1
        assert slots.users == 0
        async with slots.slot("bob"):
            assert list(slots._shares._shares) == ["bob"]

    asyncio.run(check())
