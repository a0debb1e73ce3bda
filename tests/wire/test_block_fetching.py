"""Blocks over the data socket: what a subscriber makes of them."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from blockasking import CORNER, GRID, VALUES
from dataserver import Server, serving
from wiretools import LIMIT, Router, until, zmq_context

from caterva2.arrays.selection import normalise
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.cache.touched_blocks import touched
from caterva2.errors import (
    BadMessage,
    CodecNotAllowed,
    SourceCorrupt,
    StaleVersion,
)
from caterva2.frames import blocks
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName
from caterva2.reading import slices
from caterva2.sources.memory import MemorySource
from caterva2.subscriber.fetch.fetcher import Fetcher
from caterva2.wire import codec
from caterva2.wire import messages as m
from caterva2.wire.requester import Requester

FREE_ROUND_TRIPS = replace(DEFAULTS, subscriber=replace(DEFAULTS.subscriber, round_trip_bytes=0))


class Fetching:
    """A replica that is filled with blocks from an endpoint."""

    def __init__(
        self,
        info: DatasetInfo,
        store: Store,
        requester: Requester[Any],
        limit: Limits = DEFAULTS,
    ) -> None:
        self.replica: Replica = store.replica(RootName("foo"), info, newest=True)
        self.fetcher = Fetcher(lambda: requester, limit)
        self.traffic = self.fetcher.traffic

    async def fetch(self, selection: Any = CORNER) -> list[int]:
        """Fetch what a selection needs; the chunks that are left."""
        wanted = touched(selection, self.replica.info)
        assert wanted is not None
        absent = self.replica.missing(np.array(list(wanted)))
        left = await asyncio.wait_for(
            self.fetcher.fetch_blocks(self.replica, absent, wanted), LIMIT
        )
        return left.tolist()


@contextlib.asynccontextmanager
async def fetching(directory: Path, **options: Any) -> AsyncIterator[tuple[Server, Fetching]]:
    async with serving() as server:
        entry = server.put_array(values=VALUES, **(GRID | options))
        info = server.source.info(entry.path)
        yield server, Fetching(info, Store(directory), server.requester(), FREE_ROUND_TRIPS)


@contextlib.asynccontextmanager
async def changed(directory: Path) -> AsyncIterator[tuple[Server, Fetching]]:
    """A reader of an array whose former version is cached; its second chunk is another one now."""
    async with serving() as server:
        store, changed = Store(directory), VALUES + (np.arange(400) >= 200)[:, np.newaxis]
        for values in (VALUES, changed):
            entry = server.put_array(values=values, **GRID)
            info = server.source.info(entry.path)
            reader = Fetching(info, store, server.requester(), FREE_ROUND_TRIPS)
            if values is VALUES:
                for run in server.source.chunks(entry.path, entry.etag, range(2)):
                    digests = list(map(zlib.crc32, run.chunks()))
                    reader.replica.add(run.ids, run.sizes, digests, run.payload)
        yield server, reader


def test_a_small_slice_of_a_chunk_of_the_former_version_takes_no_bytes(tmp_path: Path) -> None:
    async def run() -> None:
        async with changed(tmp_path) as (server, reader):
            assert await reader.fetch() == []
            assert (reader.traffic.kept, reader.traffic.chunks, reader.traffic.blocks) == (1, 0, 2)
            expected = VALUES + (np.arange(400) >= 200)[:, np.newaxis]
            found = slices.values(reader.replica, CORNER)
            np.testing.assert_array_equal(found, expected[195:205, 35:45])
            assert reader.replica.missing(np.arange(2)).tolist() == [1]
            assert reader.replica.offers([1]) == ()  # it is another one: once is enough
            assert server.jobs.served.held == 1

    asyncio.run(run())


def test_a_slice_is_right_out_of_its_blocks(tmp_path: Path) -> None:
    async def run() -> None:
        async with fetching(tmp_path) as (server, reader):
            assert await reader.fetch() == []
            found = slices.values(reader.replica, CORNER)
            np.testing.assert_array_equal(found, VALUES[195:205, 35:45])
            assert (reader.traffic.chunks, reader.traffic.blocks) == (0, 4)
            assert reader.traffic.bytes < 0.05 * reader.replica.info.cbytes
            assert await reader.fetch() == []
            assert server.jobs.served.requests == 1

    asyncio.run(run())


def test_readers_that_miss_the_same_blocks_cause_one_fetch(tmp_path: Path) -> None:
    async def run() -> None:
        async with fetching(tmp_path) as (server, reader):
            half = normalise(np.s_[195:205, 39], VALUES.shape)
            results = await asyncio.gather(*(reader.fetch(s) for s in [CORNER, half] * 8))
            assert results == [[]] * 16
            assert (server.jobs.served.requests, server.jobs.served.blocks) == (1, 4)

    asyncio.run(run())


def test_a_reader_that_goes_away_leaves_the_fetch_to_the_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with fetching(tmp_path) as (_, reader):
            first = asyncio.create_task(reader.fetch())
            second = asyncio.create_task(reader.fetch())
            await asyncio.sleep(0)
            first.cancel()
            assert await second == []
            assert slices.values(reader.replica, CORNER) is not None

    asyncio.run(run())


def test_a_fetch_that_nobody_waits_for_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        began, go = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        original = MemorySource.blocks

        def slow(*given: Any) -> blocks.Cut:
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result(LIMIT)
            return original(*given)

        monkeypatch.setattr(MemorySource, "blocks", slow)
        async with fetching(tmp_path) as (server, reader):
            task = asyncio.create_task(reader.fetch())
            await asyncio.wait_for(began.wait(), LIMIT)
            task.cancel()
            await until(lambda: len(server.cancelled) == 1)
            go.set()
            assert await reader.fetch() == []  # another reader begins anew

    asyncio.run(run())


def test_a_third_of_a_chunk_in_blocks_is_followed_by_all_of_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with fetching(tmp_path) as (_, reader):
            left = [
                await reader.fetch(normalise(np.s_[0:20, 40 * n : 40 * n + 40], VALUES.shape))
                for n in range(10)
            ]
            assert left == [[]] * 10
            left = [
                await reader.fetch(normalise(np.s_[20 * n : 20 * n + 20], VALUES.shape))
                for n in range(1, 4)
            ]
            assert left == [[], [], [0]]

    asyncio.run(run())


def test_an_indivisible_chunk_is_cached_as_a_whole(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving() as server:
            values = VALUES.copy()
            values[200:] = 0
            entry = server.put_array(values=values, **GRID)
            info = server.source.info(entry.path)
            reader = Fetching(info, Store(tmp_path), server.requester())
            assert await reader.fetch() == []
            assert reader.replica.cached_chunks == 1
            found = slices.values(reader.replica, CORNER)
            np.testing.assert_array_equal(found, values[195:205, 35:45])

    asyncio.run(run())


def test_another_version_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with fetching(tmp_path) as (server, reader):
            server.put_array(values=VALUES + 1, **GRID)
            with pytest.raises(StaleVersion):
                await reader.fetch()
            assert slices.values(reader.replica, CORNER) is None

    asyncio.run(run())


def test_a_publisher_that_does_not_know_blocks_is_asked_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def old(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        header = codec.msgpack.unpackb(frames[1])
        asked.append(header["type"])
        error = BadMessage(f"{header['type']} is not known")
        return [codec.encode(codec.error_message(header["id"], error))]  # type: ignore[list-item]

    async def run() -> None:
        info = _info(VALUES)
        with zmq_context() as context:
            router = Router(context, old)
            requester: Requester[Any] = Requester(
                context, router.endpoint, codec.data_replies, "an old one"
            )
            try:
                reader = Fetching(info, Store(tmp_path), requester)
                assert [await reader.fetch() for _ in range(3)] == [[0, 1]] * 3
                assert asked == ["blocks?"]
                reader.fetcher.reset()
                await reader.fetch()
                assert asked == ["blocks?"] * 2
            finally:
                await asyncio.to_thread(requester.close)
                router.close()

    asyncio.run(run())


def _info(values: Any) -> DatasetInfo:
    source = MemorySource()
    entry = source.put("a.b2nd", blosc2.asarray(values, contiguous=True, **GRID).to_cframe())
    return source.info(DatasetPath(entry.path))


Spoil = Callable[[m.Blocks, bytearray], m.Blocks]


def _flip(reply: m.Blocks, data: bytearray) -> m.Blocks:
    data[-3] ^= 16
    return reply


def _patched(at: int, value: int) -> Spoil:
    def spoil(reply: m.Blocks, data: bytearray) -> m.Blocks:
        data[at] = value
        return reply.model_copy(update={"digest": zlib.crc32(data)})

    return spoil


def _changed(**fields: Any) -> Spoil:
    return lambda reply, data: reply.model_copy(update=fields)


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (_flip, SourceCorrupt),
        (_patched(3, 7), SourceCorrupt),  # typesize
        (_patched(8, 255), SourceCorrupt),  # blocksize
        (_patched(31, 1), SourceCorrupt),  # a dictionary
        (_patched(31, 0x10), SourceCorrupt),  # zeros
        (_patched(2, 0xE5), CodecNotAllowed),
        (_patched(16, 99), CodecNotAllowed),
        (_changed(n=5), None),
        (_changed(ids=(0, 1)), None),
        (_changed(sizes=(1, 2)), None),
        (_changed(sizes=(1,)), None),
        (_changed(ids=(), sizes=()), SourceCorrupt),
    ],
)
def test_what_is_damaged_or_was_not_asked_for_is_never_held(
    tmp_path: Path,
    spoil: Spoil,
    kind: type[Exception] | None,
) -> None:
    """None stands for an answer against the protocol: the chunk is asked for then."""
    source = MemorySource()
    frame = blosc2.asarray(VALUES, contiguous=True, **GRID).to_cframe()
    entry = source.put("a.b2nd", frame)
    info = source.info(entry.path)

    def answer(_: bytes, frames: list[bytes]) -> list[list[bytes]]:
        request = codec.data_requests(frames)
        if not isinstance(request, m.BlocksRequest):
            return []
        answers = []
        for part in request.blocks:
            found = source.blocks(entry.path, entry.etag, part.n, part.ids)
            data = bytearray(found.payload)
            reply = m.Blocks(
                id=request.id, n=part.n, ids=found.ids, sizes=found.sizes,
                digest=zlib.crc32(data), last=part is request.blocks[-1],
            )  # fmt: skip
            reply = spoil(reply, data)
            answers.append([bytes(f) for f in codec.encode(reply, (bytes(data),))])
        return answers

    async def run() -> None:
        with zmq_context() as context:
            router = Router(context, answer)
            requester: Requester[Any] = Requester(
                context, router.endpoint, codec.data_replies, "a bad one",
                limits=replace(DEFAULTS.wire, backoff=0.001),
            )  # fmt: skip
            try:
                reader = Fetching(info, Store(tmp_path), requester)
                if kind is None:
                    assert await reader.fetch() == [0, 1]
                else:
                    with pytest.raises(kind):
                        await reader.fetch()
                assert slices.values(reader.replica, CORNER) is None
                assert reader.replica.cached_chunks == 0
                assert reader.replica.held_blocks(0) == (0, 0)
            finally:
                await asyncio.to_thread(requester.close)
                router.close()

    asyncio.run(run())


def test_the_chunks_of_these_tests_are_large_and_divisible() -> None:
    frame = blosc2.asarray(VALUES, contiguous=True, **GRID)
    sizes = [len(frame.schunk.get_chunk(n)) for n in range(2)]
    assert min(sizes) >= DEFAULTS.subscriber.large_chunk
    assert all(frame.schunk.get_chunk(n)[31] & 0x70 == 0 for n in range(2))
