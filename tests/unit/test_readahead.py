"""Who reads in order, and what is fetched ahead of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import samples

from caterva2.cache.index import Index
from caterva2.cache.replica import Ids, Replica
from caterva2.errors import RootOffline
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import KIB, MIB
from caterva2.names import RootName
from caterva2.subscriber.readahead import READERS, ReadAhead, Streams

SIZE = 64 * KIB
NONE = range(0)


def test_nothing_is_fetched_ahead_of_the_first_request() -> None:
    assert Streams(1000, SIZE).observe(5, 5) == NONE


def test_a_request_that_begins_where_the_last_one_ended_is_read_ahead_of() -> None:
    streams = Streams(1000, SIZE)
    streams.observe(5, 5)
    assert streams.observe(6, 6) == range(7, 11)  # READAHEAD_LEAST


def test_rows_of_one_chunk_are_no_step_and_the_next_chunk_is() -> None:
    streams = Streams(1000, SIZE)
    assert [streams.observe(5, 5) for _ in range(5)] == [NONE] * 5
    assert streams.observe(6, 6) == range(7, 11)


def test_requests_that_overlap_are_in_order_at_the_third() -> None:
    streams = Streams(1000, SIZE)
    assert [streams.observe(n, n + 1) for n in range(2)] == [NONE] * 2
    assert streams.observe(2, 3) == range(4, 8)


def test_the_window_doubles_up_to_its_limit_and_nothing_is_asked_for_twice() -> None:
    streams, asked, sizes = Streams(10_000, SIZE), list[int](), list[int]()
    for n in range(2000):
        ahead = streams.observe(n, n)
        if ahead:
            asked += ahead
            sizes.append(ahead[-1] - n)
    assert sizes[:6] == [4, 8, 16, 32, 64, 128]
    assert max(sizes) * SIZE == DEFAULTS.subscriber.readahead_bytes
    assert asked == list(range(2, asked[-1] + 1))
    assert len(sizes) < 50  # of 2000 requests the others found what they want on its way


def test_it_ends_with_the_dataset() -> None:
    streams = Streams(9, SIZE)
    found = [n for first in range(9) for n in streams.observe(first, first)]
    assert found == list(range(2, 9))


def test_random_access_is_not_read_ahead_of() -> None:
    streams, places = Streams(100_000, SIZE), random.Random(1)
    assert not any(streams.observe(n, n) for n in (places.randrange(100_000) for _ in range(500)))


def test_a_jump_begins_anew() -> None:
    streams = Streams(10_000, SIZE)
    for n in range(100):
        streams.observe(n, n)
    assert streams.observe(5000, 5000) == NONE
    assert streams.observe(5001, 5001) == range(5002, 5006)


def test_several_readers_are_told_apart() -> None:
    streams = Streams(10_000, SIZE)
    places = [1000 * n for n in range(READERS)]
    assert [streams.observe(n, n) for n in places] == [NONE] * READERS
    assert all(streams.observe(n + 1, n + 1) for n in places)


def test_chunks_larger_than_the_limit_are_not_fetched_ahead() -> None:
    streams = Streams(100, DEFAULTS.subscriber.readahead_bytes + 1)
    assert not any(streams.observe(n, n) for n in range(100))


# --- the fetching ---


def _replica() -> Replica:
    frame = samples.array_frame(np.arange(1000), chunks=(10,), blocks=(5,))
    info = samples.describe(frame).model_copy(update={"cbytes": 100 * MIB})
    return Replica(Index.in_memory(RootName("foo"), info), None)


class Fetches:
    """What was asked for, and when that ends."""

    def __init__(self) -> None:
        self.ids: list[list[int]] = []
        self.cancelled = 0
        self.go = asyncio.Event()

    async def __call__(self, _: Replica, ids: Ids) -> None:
        self.ids.append(ids.tolist())
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise RootOffline("which nobody needs to know")


def _read(ahead: ReadAhead, replica: Replica, fetches: Any, *chunks: int) -> None:
    for n in chunks:
        ahead.observe(replica, np.array([n]), fetches)


def _run(test: Callable[[Fetches], Any]) -> None:
    async def run() -> None:
        await asyncio.wait_for(test(Fetches()), 10)

    asyncio.run(run())


def test_what_comes_next_is_fetched_in_the_background() -> None:
    async def run(fetches: Fetches) -> None:
        ahead, replica = ReadAhead(lambda _: True), _replica()
        _read(ahead, replica, fetches, 0, 1)
        await asyncio.sleep(0)
        assert fetches.ids == [[2, 3]]
        await ahead.stop()

    _run(run)


def test_few_fetches_are_under_way_at_once_whatever_the_number_of_datasets() -> None:
    async def run(fetches: Fetches) -> None:
        ahead, replicas = ReadAhead(lambda _: True), [_replica() for _ in range(20)]
        for replica in replicas:
            _read(ahead, replica, fetches, 0, 1)
        await asyncio.sleep(0)
        assert len(fetches.ids) == DEFAULTS.subscriber.readaheads
        fetches.go.set()
        await asyncio.sleep(0.01)
        _read(ahead, replicas[-1], fetches, 10, 11)  # those have failed, and left their places
        await asyncio.sleep(0)
        assert len(fetches.ids) == DEFAULTS.subscriber.readaheads + 1
        await ahead.stop()

    _run(run)


def test_the_end_of_the_subscriber_ends_them() -> None:
    async def run(fetches: Fetches) -> None:
        ahead, replica = ReadAhead(lambda _: True), _replica()
        _read(ahead, replica, fetches, 0, 1)
        await asyncio.sleep(0)
        await ahead.stop()
        assert fetches.cancelled == 1

    _run(run)


@pytest.mark.parametrize("trouble", ["full", "disk"])
def test_nothing_is_fetched_ahead_into_a_cache_that_takes_no_more(trouble: str) -> None:
    async def run(fetches: Fetches) -> None:
        ahead, replica = ReadAhead(lambda _: trouble != "full"), _replica()
        if trouble == "disk":
            replica.write_error = "no space left"
        _read(ahead, replica, fetches, *range(50))
        await asyncio.sleep(0)
        assert fetches.ids == []

    _run(run)
