"""FairSlots at computing."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from caterva2 import limits
from caterva2.compute.slots import FairSlots
from caterva2.errors import Busy


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_DEADLINE", 0.01)


async def taken(turns: FairSlots, user: str, open_turns: contextlib.AsyncExitStack) -> int:
    """How many turns a user gets at once."""
    for count in range(100):
        try:
            await open_turns.enter_async_context(turns.turn(user))
        except Busy as error:
            assert "USER_COMPUTATIONS" in error.detail
            return count
    raise AssertionError


def test_nobody_takes_all_turns() -> None:
    async def check() -> None:
        turns = FairSlots()
        async with contextlib.AsyncExitStack() as held:
            assert await taken(turns, "", held) == limits.USER_COMPUTATIONS
            assert await taken(turns, "ann", held) == limits.USER_COMPUTATIONS

    asyncio.run(check())


def test_each_user_has_one_turn_when_others_have_the_rest() -> None:
    async def check() -> None:
        turns = FairSlots()
        async with contextlib.AsyncExitStack() as held:
            for user in ("", "ann"):
                await taken(turns, user, held)
            assert await taken(turns, "bob", held) == 1
            assert await taken(turns, "eve", held) == 1

    asyncio.run(check())


def test_turns_are_given_back_whatever_happens() -> None:
    async def check() -> None:
        turns = FairSlots()
        for _ in range(2):
            with contextlib.suppress(ArithmeticError):
                async with contextlib.AsyncExitStack() as held:
                    assert await taken(turns, "ann", held) == limits.USER_COMPUTATIONS
                    raise ArithmeticError
        assert turns._shares == {}

    asyncio.run(check())
