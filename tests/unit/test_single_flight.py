"""Asynchronous work that its concurrent callers share."""

from __future__ import annotations

import asyncio

import pytest

from caterva2.runtime.single_flight import SingleFlight


class Work:
    """Work that is counted, and goes on when it may."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return number


async def turn() -> None:
    """Let all other tasks go as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_concurrent_callers_share_one_run() -> None:
    async def run() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        work, other = Work(), Work()
        callers = [asyncio.create_task(flights.run("a", work)) for _ in range(3)]
        apart = asyncio.create_task(flights.run("b", other))
        await turn()
        assert (work.begun, other.begun, len(flights)) == (1, 1, 2)
        work.go.set()
        other.go.set()
        assert await asyncio.gather(*callers, apart) == [1, 1, 1, 1]
        assert len(flights) == 0
        assert await flights.run("a", work) == 2  # nothing is kept

    asyncio.run(run())


def test_an_error_reaches_each_caller_and_the_next_one_begins_anew() -> None:
    async def run() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        work = Work()
        work.error = ValueError("no")
        callers = [asyncio.create_task(flights.run("a", work)) for _ in range(2)]
        await turn()
        work.go.set()
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert [repr(result) for result in results] == 2 * ["ValueError('no')"]
        work.error = None
        assert await flights.run("a", work) == 2

    asyncio.run(run())


def test_a_cancelled_caller_does_not_end_the_work_for_the_others() -> None:
    async def run() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        work = Work()
        first, second = (asyncio.create_task(flights.run("a", work)) for _ in range(2))
        await turn()
        first.cancel()
        await turn()
        assert first.cancelled()
        assert not second.done()
        work.go.set()
        assert await second == 1
        assert (work.begun, work.cancelled) == (1, 0)

    asyncio.run(run())


def test_the_last_caller_to_be_cancelled_cancels_the_work() -> None:
    async def run() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        work = Work()
        callers = [asyncio.create_task(flights.run("a", work)) for _ in range(2)]
        await turn()
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
        assert "a" not in flights
        again = asyncio.create_task(flights.run("a", work))  # joins nothing that is cancelled
        await turn()
        assert (work.begun, work.cancelled) == (2, 1)
        work.go.set()
        assert await again == 2

    asyncio.run(run())


def test_abandoned_work_goes_on_where_that_is_wanted() -> None:
    async def run() -> None:
        flights: SingleFlight[str, int] = SingleFlight(cancel_abandoned=False)
        work = Work()
        caller = asyncio.create_task(flights.run("a", work))
        await turn()
        caller.cancel()
        await asyncio.wait({caller})
        joined = asyncio.create_task(flights.run("a", work))
        await turn()
        work.go.set()
        assert await joined == 1
        assert (work.begun, work.cancelled) == (1, 0)

    asyncio.run(run())


@pytest.mark.parametrize("cancel_abandoned", [True, False])
def test_a_key_is_free_again_when_its_work_was_cancelled(cancel_abandoned: bool) -> None:
    async def run() -> None:
        flights: SingleFlight[str, int] = SingleFlight(cancel_abandoned=cancel_abandoned)

        async def gives_up() -> int:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await flights.run("a", gives_up)
        work = Work()
        work.go.set()
        assert await flights.run("a", work) == 1

    asyncio.run(run())
