"""The data socket of a publisher: what it answers."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NoReturn

import blosc2
import numpy as np
import pytest
from dataserver import TEXT, VALUES, ask_bytes, ask_chunks, cut, serving
from pydantic import ValidationError
from wiretools import LIMIT

from caterva2.errors import (
    BadRequest,
    CatervaError,
    DeadlineExceeded,
    NotFound,
    SourceCorrupt,
    StaleVersion,
)
from caterva2.frames import blocks
from caterva2.frames import chunk as gate
from caterva2.frames.raw import Run
from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.sources.base import NEVER
from caterva2.sources.memory import MemorySource
from caterva2.wire import messages as m


def test_chunks_arrive_with_their_digests() -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.put_array()
            replies = await server.collect(ask_chunks(entry, 4, 0, 2, 3))
            found: dict[int, bytes] = {}
            for reply, payload in replies:
                found |= cut(reply, payload)
            assert list(found) == [4, 0, 2, 3]
            assert [reply.last for reply, _ in replies][-1]
            for n, chunk in found.items():
                gate.check(chunk, gate.ChunkShape(8, 4 * 25 * 8), 8 * 50 * 8)
                values = np.frombuffer(blosc2.decompress2(chunk), "<i8")
                assert set(values.tolist()) == set(VALUES[n * 8 : n * 8 + 8].ravel().tolist())
            assert server.jobs.served.chunks == 4

    asyncio.run(run())


def test_a_reply_ends_at_about_its_limit() -> None:
    async def run() -> None:
        async with serving() as server:
            rng = np.random.default_rng(7)
            values = rng.integers(0, 2**60, (80, 4096), dtype="<i8")  # 32 KiB rows, no gain
            entry = server.put_array(values=values, chunks=(4, 4096), blocks=(1, 4096))
            replies = await server.collect(ask_chunks(entry, *range(20)))
            sizes = [len(payload[0]) for _, payload in replies]
            assert len(replies) > 1
            assert max(sizes) <= DEFAULTS.publisher.reply_bytes
            assert [n for reply, _ in replies for n in reply.n] == list(range(20))
            assert [reply.last for reply, _ in replies] == [False] * (len(replies) - 1) + [True]
            for reply, payload in replies:
                cut(reply, payload)

    asyncio.run(run())


def test_chunks_that_the_requester_holds_are_not_sent() -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.put_array()
            [(reply, payload)] = await server.collect(ask_chunks(entry, 0, 1, 2, 3))
            chunks = cut(reply, payload)
            held = (
                blocks.digest(chunks[0]),
                b"",
                blocks.digest(chunks[0]),
                blocks.digest(chunks[3]),
            )
            [(some, rest)] = await server.collect(ask_chunks(entry, 0, 1, 2, 3, held=held))
            assert some.sizes == (0, len(chunks[1]), len(chunks[2]), 0)
            assert rest == [chunks[1] + chunks[2]]
            assert some.digests == (0, *reply.digests[1:3], 0)
            assert (some.n, some.last) == (reply.n, True)
            assert server.jobs.served.held == 2

    asyncio.run(run())


def test_a_reply_may_consist_of_chunks_that_the_requester_holds() -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.put_array()
            [(reply, payload)] = await server.collect(ask_chunks(entry, 4))
            held = (blocks.digest(cut(reply, payload)[4]),)
            [(reply, payload)] = await server.collect(ask_chunks(entry, 4, held=held))
            assert (reply.n, reply.sizes, payload) == ((4,), (0,), [b""])

    asyncio.run(run())


@pytest.mark.parametrize("held", [(b"x" * 16,), (b"x" * 17, b""), (b"",) * 3])
def test_digests_of_held_chunks_are_one_for_each(held: tuple[bytes, ...]) -> None:
    with pytest.raises(ValidationError):
        m.ChunksRequest(path=DatasetPath("a.b2nd"), etag="e", n=(0, 1), deadline_ms=1, held=held)


@pytest.mark.parametrize(
    ("make", "kind", "value"),
    [(blosc2.zeros, 1, 0.0), (blosc2.nans, 2, np.nan), (blosc2.uninit, 1, 0.0)],
    ids=["zeros", "nans", "uninitialised"],
)
def test_special_chunks_travel_as_headers(make: Any, kind: int, value: float) -> None:
    async def run() -> None:
        async with serving() as server:
            array = make((30, 10), dtype="<f8", chunks=(10, 10), blocks=(5, 10))
            entry = server.source.put("special.b2nd", array.to_cframe())
            replies = await server.collect(ask_chunks(entry, 0, 1, 2))
            check_special(cut(*replies[0]), kind, value)

    asyncio.run(run())


def check_special(chunks: dict[int, bytes], kind: int, value: float) -> None:
    """Three chunks of 100 items, which are nothing but headers."""
    assert [len(chunk) for chunk in chunks.values()] == [32, 32, 32]
    for chunk in chunks.values():
        assert (chunk[31] >> 4) & 7 == kind
        got = np.frombuffer(blosc2.decompress2(chunk), "<f8")
        np.testing.assert_array_equal(got, np.full(100, value))


def test_special_chunks_of_a_frame_that_has_no_blocksize() -> None:
    """Blosc2 fixes a frame's blocksize with its first real chunk only."""

    async def run() -> None:
        async with serving() as server:
            schunk = blosc2.SChunk(chunksize=800, cparams={"typesize": 8})
            schunk.fill_special(300, blosc2.SpecialValue.ZERO)
            entry = server.source.put("special.b2frame", schunk.to_cframe())
            replies = await server.collect(ask_chunks(entry, 0, 1, 2))
            check_special(cut(*replies[0]), 1, 0.0)

    asyncio.run(run())


def test_info_tells_what_blosc2_made() -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.put_array()
            info = await server.requester().ask(m.InfoRequest(path=entry.path), LIMIT)
            assert isinstance(info, m.Info)
            assert (info.shape, info.chunks, info.blocks) == ((40, 50), (8, 50), (4, 25))
            assert (info.kind, info.dtype, info.typesize) == ("array", "<i8", 8)
            assert (info.etag, info.nchunks, info.chunksize) == (entry.etag, 5, 3200)

    asyncio.run(run())


@pytest.mark.parametrize(("start", "stop"), [(0, len(TEXT)), (5, 6), (100, 100), (0, 0)])
def test_bytes_of_a_file(start: int, stop: int) -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.source.put("README.md", TEXT)
            replies = await server.collect(ask_bytes(entry, start, stop))
            at = start
            for reply, payload in replies:
                [data] = payload
                assert reply.start == at
                assert reply.digest == zlib.crc32(data)
                assert data == TEXT[at : at + len(data)]
                at += len(data)
            assert at == stop
            assert [reply.last for reply, _ in replies] == [False] * (len(replies) - 1) + [True]

    asyncio.run(run())


def test_a_stale_version_tells_the_new_one() -> None:
    async def run() -> None:
        async with serving() as server:
            old, old_file = server.put_array(), server.source.put("f", b"old")
            new, new_file = server.put_array(values=VALUES + 1), server.source.put("f", b"new")
            for request, etag in (
                (ask_chunks(old, 0), new.etag),
                (ask_bytes(old_file, 0, 3), new_file.etag),
            ):
                with pytest.raises(StaleVersion) as caught:
                    await server.collect(request)
                assert caught.value.info == {"etag": etag}
            [(reply, payload)] = await server.collect(ask_chunks(new, 0))
            assert list(cut(reply, payload)) == [0]

    asyncio.run(run())


def test_the_deadline_of_a_request_reaches_the_source() -> None:
    class Far(MemorySource):
        """A source behind a network, which waits until the deadline in vain."""

        deadlines: ClassVar[list[float]] = []

        def wait(self, deadline: float) -> NoReturn:
            self.deadlines.append(deadline - time.monotonic())
            raise DeadlineExceeded("the origin did not answer in time")

        def info(self, path: DatasetPath, deadline: float = NEVER) -> NoReturn:
            self.wait(deadline)

        def chunks(
            self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
        ) -> Iterator[Run]:
            self.wait(deadline)
            yield

        def blocks(
            self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
        ) -> NoReturn:
            self.wait(deadline)

        def read_bytes(
            self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
        ) -> Iterator[bytes]:
            self.wait(deadline)
            yield b""

    async def run() -> None:
        async with serving(source=Far()) as server:
            entry = server.put_array()
            parts = (m.ChunkBlocks(n=0, ids=(0,)),)
            requests: list[m.Request] = [
                ask_chunks(entry, 0, deadline_ms=7_000),
                m.BlocksRequest(path=entry.path, etag=entry.etag, blocks=parts, deadline_ms=7_000),
                ask_bytes(entry, 0, 1, deadline_ms=7_000),
                m.InfoRequest(path=entry.path),
            ]
            for request in requests:
                with pytest.raises(DeadlineExceeded, match="the origin did not answer"):
                    await server.collect(request)
            answer = await server.requester().ask(m.InfosRequest(paths=(entry.path,)), LIMIT)
            assert isinstance(answer, m.Infos)
            assert [refused.name for refused in answer.refused] == ["deadline"]
        assert [round(left) for left in Far.deadlines] == [7, 7, 7, 5, 5]

    asyncio.run(run())


def test_what_does_not_exist() -> None:
    async def run() -> None:
        async with serving() as server:
            array, file = server.put_array(), server.source.put("f", b"abc")
            nowhere = DatasetPath("no/where.b2nd")
            wrong: list[tuple[m.Request, type[CatervaError]]] = [
                (m.InfoRequest(path=nowhere), NotFound),
                (ask_chunks(replace(array, path=nowhere), 0), NotFound),
                (ask_bytes(replace(array, path=nowhere), 0, 0), NotFound),
                (ask_chunks(array, 5), NotFound),
                (ask_chunks(array, 0, 2**31 - 1), NotFound),
                (ask_chunks(file, 0), BadRequest),
                (ask_bytes(file, 0, 4), BadRequest),
                (ask_bytes(file, 2, 1), BadRequest),
            ]
            for request, kind in wrong:
                with pytest.raises(kind):
                    await server.collect(request)

    asyncio.run(run())


def test_a_damaged_frame_is_told() -> None:
    async def run() -> None:
        async with serving() as server:
            entry = server.source.put("bad.b2nd", b"no frame at all")
            with pytest.raises(SourceCorrupt):
                await server.requester().ask(m.InfoRequest(path=entry.path), LIMIT)

    asyncio.run(run())
