"""What searches left unknown is described in the background, in turns and within bounds"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from caterva2.browsing import filling
from caterva2.browsing.facts import Facts, KnownFacts
from caterva2.browsing.filling import Filling
from caterva2.errors import RootOffline
from caterva2.limits.constants import REQUEST_INFOS
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.tasks import cancel_all

PATHS = [DatasetPath(f"d{n:04}") for n in range(REQUEST_INFOS * 5 // 2)]
LAB, FOO = RootName("lab"), RootName("foo")


class Root:
    """A root that can be described, unless it fails; its requests are noted."""

    def __init__(self, max_bytes: int = 2**30, error: BaseException | None = None) -> None:
        self.facts = KnownFacts(max_bytes)
        self.asked: list[int] = []
        self.error = error

    async def learn(self, paths: Sequence[DatasetPath]) -> int:
        self.asked.append(len(paths))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        for path in paths:
            self.facts.put(path, Facts("<f4", (3,)))
        return len(paths)


def fill(use: Callable[[Filling], Coroutine[Any, Any, None]]) -> None:
    """Use a filling while it runs; it goes on whatever happens."""

    async def both() -> None:
        made = Filling()
        running = asyncio.create_task(made.run())
        async with asyncio.timeout(20):
            await use(made)
        assert not running.done()
        await cancel_all([running])

    asyncio.run(both())


async def ended(made: Filling, *names: RootName) -> None:
    while any(map(made.describes, names)):  # noqa: ASYNC110 - each turn of the loop is a step
        await asyncio.sleep(0)


def test_all_are_described_in_steps_of_a_request() -> None:
    async def use(made: Filling) -> None:
        root = Root()
        root.facts.put(PATHS[0], Facts())
        assert made.start(LAB, root, PATHS)
        assert made.describes(LAB)
        await ended(made, LAB)
        assert root.asked == [REQUEST_INFOS - 1, REQUEST_INFOS, REQUEST_INFOS // 2]
        assert all(map(root.facts.get, PATHS))
        assert not made.start(LAB, root, [])

    fill(use)


def test_roots_take_turns() -> None:
    async def use(made: Filling) -> None:
        first, second = Root(), Root()
        second.asked = first.asked
        made.start(LAB, first, PATHS[: REQUEST_INFOS + 1])
        made.start(FOO, second, PATHS[: REQUEST_INFOS + 2])
        await ended(made, LAB, FOO)
        assert first.asked == [REQUEST_INFOS, REQUEST_INFOS, 1, 2]

    fill(use)


@pytest.mark.parametrize("error", [RootOffline("away"), TimeoutError(), ValueError("odd")])
def test_a_root_that_fails_is_left_and_others_go_on(error: Exception) -> None:
    async def use(made: Filling) -> None:
        bad, good = Root(error=error), Root()
        made.start(LAB, bad, PATHS)
        made.start(FOO, good, PATHS)
        await ended(made, LAB, FOO)
        assert (bad.asked, len(good.asked)) == ([REQUEST_INFOS], 3)

    fill(use)


def test_a_full_memory_ends_it() -> None:
    async def use(made: Filling) -> None:
        root = Root(max_bytes=Facts().nbytes * REQUEST_INFOS)
        made.start(LAB, root, PATHS)
        await ended(made, LAB)
        assert root.asked == [REQUEST_INFOS]
        assert not made.start(LAB, root, PATHS)

    fill(use)


def test_it_rests_as_long_as_it_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []

    async def use(made: Filling) -> None:
        root, learn, sleep = Root(), Root.learn, asyncio.sleep

        async def slowly(paths: Sequence[DatasetPath]) -> int:
            await sleep(0.05)  # the work
            return await learn(root, paths)

        async def rest(seconds: float) -> None:
            rests.append(seconds)
            await sleep(0)

        root.learn = slowly  # type: ignore[method-assign]
        monkeypatch.setattr(filling.asyncio, "sleep", rest)
        made.start(LAB, root, PATHS[:1])
        await ended(made, LAB)
        while max(rests) < 0.05:
            await sleep(0)

    fill(use)


def test_so_many_roots_wait_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "ROOTS", 1)

    async def use(made: Filling) -> None:
        assert made.start(LAB, Root(), PATHS)
        assert made.start(LAB, Root(), PATHS)
        assert not made.start(FOO, Root(), PATHS)

    fill(use)
