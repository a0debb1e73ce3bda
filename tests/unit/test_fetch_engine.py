"""The fetch engine: what readers share, and what ends when they leave."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from caterva2.errors import DeadlineExceeded, NotFound, RootOffline
from caterva2.subscriber.fetch.flight import Flights

CHUNKS = [0, 1, 2, 3, 4, 5]
BLOCKS = [(0, 3), (0, 7), (1, 0), (1, 1), (2, 5), (9, 9)]


class Call:
    """A request for two pieces at most."""

    def __init__(self, keys: list[Any], prepare: Callable[[], None] | None) -> None:
        self.keys = keys
        self.is_prepared = prepare is None
        self.prepare = prepare


class Link:
    """A connection that keeps calls until the test answers them."""

    def __init__(self, window: int = 2) -> None:
        self.online = True
        self.prepare: Callable[[], None] | None = None
        """What has to be done before a call is submitted."""
        self.calls: list[Call] = []
        self.cancelled: list[Call] = []
        self.flights: Flights[Any] = Flights(self._connection, self._next, window)

    def _connection(self) -> Any:
        if not self.online:
            raise RootOffline("away")
        return self

    def _next(self, _: Flights[Any], queue: deque[Any]) -> Call:
        return Call([queue.popleft() for _ in range(min(2, len(queue)))], self.prepare)

    def submit(self, call: Call) -> None:
        self.calls.append(call)

    def cancel(self, call: Call) -> None:
        self.cancelled.append(call)

    def asked(self) -> list[list[Any]]:
        return [call.keys for call in self.calls]

    def reader(self, *keys: Any) -> asyncio.Task[None]:
        return asyncio.create_task(self.flights.ensure(set(keys)))


def run(test: Callable[[Link, list[Any]], Awaitable[None]], keys: list[Any]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(10):
            await test(Link(), keys)

    asyncio.run(limited())


async def turn() -> None:
    """Let all other tasks go as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


both = pytest.mark.parametrize("keys", [CHUNKS, BLOCKS], ids=["chunks", "blocks"])


@both
def test_a_piece_is_fetched_once_however_many_readers_wait_for_it(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        readers = [link.reader(*keys[:2]), link.reader(*keys[:2]), link.reader(*keys[1:3])]
        await turn()
        assert link.asked() == [keys[:2], keys[2:3]]
        link.flights.arrived(keys[:2])
        await turn()
        assert [reader.done() for reader in readers] == [True, True, False]
        link.flights.ended(link.calls[1], None)
        await asyncio.gather(*readers)
        assert not link.flights.pending

    run(test, keys)


@both
def test_no_more_calls_than_the_window_are_under_way(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        reader = link.reader(*keys)
        await turn()
        assert link.asked() == [keys[:2], keys[2:4]]
        link.flights.ended(link.calls[0], None)
        await turn()
        assert link.asked() == [keys[:2], keys[2:4], keys[4:]]
        for call in link.calls[1:]:
            link.flights.ended(call, None)
        await reader
        assert not link.cancelled
        await turn()
        assert link.flights.idle

    run(test, keys)


@both
def test_a_call_is_cancelled_when_its_last_reader_leaves(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        first, second = link.reader(*keys[:2]), link.reader(keys[1])
        await turn()
        first.cancel()
        await turn()
        assert not link.cancelled
        second.cancel()
        await turn()
        assert link.cancelled == link.calls
        assert link.flights.idle
        again = link.reader(keys[0])  # begins anew
        await turn()
        assert link.asked()[-1] == [keys[0]]
        again.cancel()

    run(test, keys)


@both
def test_what_only_a_leaving_reader_waited_for_leaves_the_queue(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        full = link.reader(*keys[:4])
        leaving, staying = link.reader(keys[4]), link.reader(keys[5])
        await turn()
        leaving.cancel()
        await turn()
        assert keys[4] not in link.flights.pending
        link.flights.ended(link.calls[0], None)
        await turn()
        assert link.asked()[-1] == [keys[5]]
        for call in link.calls:
            link.flights.ended(call, None)
        await asyncio.gather(full, staying)

    run(test, keys)


@both
def test_a_failure_reaches_the_readers_of_its_pieces_only(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        bad, good = link.reader(*keys[:2]), link.reader(*keys[2:4])
        queued = link.reader(*keys[4:])
        await turn()
        link.flights.ended(link.calls[0], NotFound("gone"))
        with pytest.raises(NotFound):
            await bad
        await turn()
        assert link.asked()[-1] == keys[4:]
        for call in link.calls[1:]:
            link.flights.ended(call, None)
        await asyncio.gather(good, queued)

    run(test, keys)


@both
def test_a_missed_deadline_fails_what_is_queued_for_the_same_link(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        late, other = link.reader(*keys[:2]), link.reader(*keys[2:4])
        queued = link.reader(*keys[4:])
        await turn()
        link.flights.ended(link.calls[0], DeadlineExceeded("silent"))
        for reader in (late, queued):
            with pytest.raises(DeadlineExceeded):
                await reader
        assert not other.done()
        assert len(link.calls) == 2
        link.flights.ended(link.calls[1], None)
        await other

    run(test, keys)


@both
def test_without_a_publisher_a_reader_fails_at_once_and_the_queue_with_it(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        under_way, queued = link.reader(*keys[:4]), link.reader(keys[4])
        await turn()
        link.online = False
        with pytest.raises(RootOffline):
            await link.flights.ensure({keys[5]})
        link.flights.ended(link.calls[0], None)
        with pytest.raises(RootOffline):
            await queued
        link.flights.ended(link.calls[1], None)
        await under_way

    run(test, keys)


class Preparation:
    """Preparations of calls in other threads, which end when the test lets them."""

    def __init__(self, link: Link, error: Exception | None = None) -> None:
        self.threads: list[int] = []
        self.end = threading.Event()
        self._error = error
        link.prepare = self._run

    def _run(self) -> None:
        self.threads.append(threading.get_ident())
        assert self.end.wait(10)
        if self._error is not None:
            raise self._error


async def eventually(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - a thread sets no event of the loop
        await asyncio.sleep(0.001)


@both
def test_a_call_is_prepared_in_a_thread_before_it_is_submitted(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        preparation = Preparation(link)
        reader = link.reader(*keys[:2])
        await eventually(lambda: preparation.threads)
        assert not link.calls
        assert link.flights.pending == set(keys[:2])
        preparation.end.set()
        await eventually(lambda: link.calls)
        assert threading.get_ident() not in preparation.threads
        link.flights.ended(link.calls[0], None)
        await reader
        assert len(preparation.threads) == 1

    run(test, keys)


@both
def test_a_call_whose_reader_leaves_while_it_is_prepared_is_not_submitted(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        preparation = Preparation(link)
        leaving = link.reader(*keys[:2])
        await eventually(lambda: preparation.threads)
        leaving.cancel()
        await turn()
        assert link.flights.idle
        link.prepare = None
        staying = link.reader(*keys[:2])
        await turn()
        preparation.end.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        await turn()
        assert link.asked() == [keys[:2]]
        link.flights.ended(link.calls[0], None)
        await staying

    run(test, keys)


@both
def test_a_call_that_can_not_be_prepared_is_submitted_as_it_is(keys: list[Any]) -> None:
    async def test(link: Link, keys: list[Any]) -> None:
        Preparation(link, ValueError("odd")).end.set()
        reader = link.reader(*keys[:2])
        await eventually(lambda: link.calls)
        link.flights.ended(link.calls[0], None)
        await reader

    run(test, keys)


def test_nothing_missing_needs_no_publisher() -> None:
    async def test(link: Link, _: list[Any]) -> None:
        link.online = False
        await link.flights.ensure(set())

    run(test, [])
