"""The data socket of a publisher: what it answers, and what a reader of it checks."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import zmq
from wiretools import ANY, LIMIT, until, zmq_context

from caterva2 import limits
from caterva2.cache.store import Store
from caterva2.errors import (
    BadRequest,
    Busy,
    CatervaError,
    DeadlineExceeded,
    NotFound,
    SourceCorrupt,
    StaleVersion,
)
from caterva2.frames import chunk as gate
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName
from caterva2.roots.memory import MemorySource
from caterva2.services.catalog import Ledger
from caterva2.services.fetching import WINDOW, ChunksCall, Fill, Traffic
from caterva2.services.serving import Jobs
from caterva2.wire import codec, sockets
from caterva2.wire import messages as m
from caterva2.wire.calls import Call
from caterva2.wire.requester import Requester
from caterva2.wire.sockets import Frames, LoopSocket

VALUES = np.arange(2_000, dtype="<i8").reshape(40, 50)
TEXT = bytes(range(256)) * 10_000


class Collect(Call[Any]):
    """A call that keeps all replies and their payloads."""

    def __init__(self, request: m.Request, timeout: float = LIMIT) -> None:
        self.deadline = time.monotonic() + timeout
        self.replies: list[tuple[Any, list[bytes]]] = []
        self._request = request
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()

    def message(self, request_id: int) -> m.Request:
        return self._request.model_copy(update={"id": request_id})

    def on_reply(self, reply: Any, payload: Sequence[memoryview]) -> bool:
        self.replies.append((reply, [bytes(frame) for frame in payload]))
        if reply.last:
            self._loop.call_soon_threadsafe(self.done.set_result, None)
        return bool(reply.last)

    def on_error(self, error: CatervaError) -> None:
        self._loop.call_soon_threadsafe(self.done.set_exception, error)


class Server:
    """A data socket that serves a source in memory, as a publisher does."""

    def __init__(self, context: sockets.Context) -> None:
        self._context = context
        self.source = MemorySource()
        raw = sockets.make(context, zmq.ROUTER, data=True)
        self.endpoint = sockets.bind(raw, ANY, "data").endpoint
        self._socket = LoopSocket(raw, self._on_request)
        self.jobs = Jobs(self.source, self._socket)
        self.cancelled: list[int] = []
        self._requesters: list[Requester[Any]] = []

    def _on_request(self, frames: Frames) -> None:
        peer, request = frames[0], codec.data_requests(frames[1:])
        if isinstance(request, m.Cancel):
            self.cancelled.append(request.id)
            self.jobs.cancel(peer, request.id)
            return
        assert isinstance(
            request, m.InfoRequest | m.ChunksRequest | m.BlocksRequest | m.BytesRequest
        )
        try:
            self.jobs.start(peer, request)
        except CatervaError as error:
            self._socket.send([peer, *codec.encode(codec.error_message(request.id, error))])

    def requester(self) -> Requester[Any]:
        made: Requester[Any] = Requester(
            self._context, self.endpoint, codec.data_replies, f"reader-{len(self._requesters)}"
        )
        self._requesters.append(made)
        return made

    async def collect(self, request: m.Request) -> list[tuple[Any, list[bytes]]]:
        """All replies to a request."""
        call = Collect(request)
        self.requester().submit(call)
        await asyncio.wait_for(call.done, LIMIT)
        return call.replies

    def put_array(self, path: str = "a.b2nd", values: Any = VALUES, **options: Any) -> Entry:
        array = blosc2.asarray(values, **({"chunks": (8, 50), "blocks": (4, 25)} | options))
        return self.source.put(path, array.to_cframe())

    async def close(self) -> None:
        await self.jobs.stop()
        self._socket.close()
        for requester in self._requesters:
            await asyncio.to_thread(requester.close)
        self.source.close()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    with zmq_context() as context:
        server = Server(context)
        try:
            yield server
        finally:
            await server.close()


def ask_chunks(entry: Entry, *n: int, etag: str = "", deadline_ms: int = 10_000) -> m.ChunksRequest:
    return m.ChunksRequest(path=entry.path, etag=etag or entry.etag, n=n, deadline_ms=deadline_ms)


def ask_bytes(entry: Entry, start: int, stop: int, deadline_ms: int = 60_000) -> m.BytesRequest:
    return m.BytesRequest(
        path=entry.path, etag=entry.etag, start=start, stop=stop, deadline_ms=deadline_ms
    )


def cut(reply: m.Chunks, payload: list[bytes]) -> dict[int, bytes]:
    """The chunks of a reply, their sizes and digests checked."""
    [data] = payload
    assert len(reply.n) == len(reply.sizes) == len(reply.digests)
    assert sum(reply.sizes) == len(data)
    found, at = {}, 0
    for n, size, digest in zip(reply.n, reply.sizes, reply.digests, strict=True):
        found[n] = data[at : at + size]
        at += size
        assert zlib.crc32(found[n]) == digest
    return found


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


def test_a_reply_ends_at_about_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with serving() as server:
            rng = np.random.default_rng(7)
            values = rng.integers(0, 2**60, (64, 4096), dtype="<i8")  # 32 KiB rows, no gain
            entry = server.put_array(values=values, chunks=(4, 4096), blocks=(1, 4096))
            replies = await server.collect(ask_chunks(entry, *range(16)))
            sizes = [len(payload[0]) for _, payload in replies]
            assert len(replies) > 1
            assert max(sizes) <= limits.REPLY_BYTES
            assert [n for reply, _ in replies for n in reply.n] == list(range(16))
            assert [reply.last for reply, _ in replies] == [False] * (len(replies) - 1) + [True]
            for reply, payload in replies:
                cut(reply, payload)

    asyncio.run(run())


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


def test_what_does_not_exist() -> None:
    async def run() -> None:
        async with serving() as server:
            array, file = server.put_array(), server.source.put("f", b"abc")
            nowhere = DatasetPath("no/where.b2nd")
            wrong: list[tuple[m.Request, type[CatervaError]]] = [
                (m.InfoRequest(path=nowhere), NotFound),
                (ask_chunks(array.model_copy(update={"path": nowhere}), 0), NotFound),
                (ask_bytes(array.model_copy(update={"path": nowhere}), 0, 0), NotFound),
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


def test_too_many_requests_of_one_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PEER_JOBS", 2)
    monkeypatch.setattr(limits, "RETRIES", 0)
    monkeypatch.setattr(limits, "DATA_HWM", 3)

    async def run() -> None:
        async with serving() as server:
            entry = server.source.put("f", bytes(64 * limits.MIB))
            with lazy_reader(server) as reader:
                for n in range(5):
                    request = ask_bytes(entry, 0, entry.size).model_copy(update={"id": n})
                    reader.send_multipart(codec.encode(request))
                # Two are worked on, and the others refused ahead of their megabytes.
                busy: set[int] = set()
                while len(busy) < 3:
                    await until(lambda: bool(reader.poll(0)))
                    reply = codec.data_replies(reader.recv_multipart())
                    if isinstance(reply, m.Error):
                        assert (reply.name, reply.retry) == ("busy", "later")
                        assert reply.after_ms > 0
                        busy.add(reply.id)
                assert len(busy) == 3
                info = await server.requester().ask(m.InfoRequest(path=entry.path), LIMIT)
                assert info.etag == entry.etag

    asyncio.run(run())


def test_too_many_requests_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUBLISHER_JOBS", 0)
    monkeypatch.setattr(limits, "RETRIES", 0)

    async def run() -> None:
        async with serving() as server:
            entry = server.put_array()
            with pytest.raises(Busy) as caught:
                await server.collect(ask_chunks(entry, 0))
            assert caught.value.after_ms > 0

    asyncio.run(run())


@contextlib.contextmanager
def lazy_reader(server: Server) -> Any:
    """A DEALER that takes nothing unless it is asked to."""
    with server._context.socket(zmq.DEALER) as reader:
        reader.linger = 0
        reader.rcvhwm = 1
        reader.connect(server.endpoint)
        yield reader


def test_a_reader_that_takes_nothing_blocks_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DATA_HWM", 3)

    async def run() -> None:
        async with serving() as server:
            big = server.source.put("big", bytes(64 * limits.MIB))
            array = server.put_array()
            with lazy_reader(server) as reader:
                for n in range(4):
                    request = ask_bytes(big, 0, big.size).model_copy(update={"id": n})
                    reader.send_multipart(codec.encode(request))
                await until(lambda: server.jobs.served.bytes > 0)
                for _ in range(20):
                    replies = await server.collect(ask_chunks(array, *range(5)))
                    assert sum(len(reply.n) for reply, _ in replies) == 5
                assert server.jobs.served.bytes < 2 * big.size

    asyncio.run(run())


def test_a_reader_that_takes_nothing_loses_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DATA_HWM", 3)

    async def run() -> None:
        async with serving() as server:
            big = server.source.put("big", bytes(64 * limits.MIB))
            with lazy_reader(server) as reader:
                request = ask_bytes(big, 0, big.size, deadline_ms=300)
                reader.send_multipart(codec.encode(request))
                await until(lambda: server.jobs.served.requests == 1)
                await until(lambda: not server.jobs._tasks)
                assert server.jobs.served.bytes < big.size

    asyncio.run(run())


def test_a_reader_that_goes_away_ends_its_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DATA_HWM", 3)

    async def run() -> None:
        async with serving() as server:
            big = server.source.put("big", bytes(64 * limits.MIB))
            with lazy_reader(server) as reader:
                reader.send_multipart(codec.encode(ask_bytes(big, 0, big.size)))
                await until(lambda: server.jobs.served.bytes > 0)
            await until(lambda: not server.jobs._tasks)

    asyncio.run(run())


def test_cancel_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DATA_HWM", 3)

    async def run() -> None:
        async with serving() as server:
            big = server.source.put("big", bytes(64 * limits.MIB))
            with lazy_reader(server) as reader:
                request = ask_bytes(big, 0, big.size).model_copy(update={"id": 5})
                reader.send_multipart(codec.encode(request))
                await until(lambda: server.jobs.served.bytes > 0)
                reader.send_multipart(codec.encode(m.Cancel(id=99)))
                reader.send_multipart(codec.encode(m.Cancel(id=5)))
                await until(lambda: not server.jobs._tasks)
                assert server.cancelled == [99, 5]

    asyncio.run(run())


# --- pages fit into headers ---


def test_a_page_of_the_longest_paths_fits() -> None:
    ledger = Ledger()
    paths = [DatasetPath("/".join([f"{n:0254}"] * 4)) for n in range(limits.CATALOG_PAGE)]
    ledger.replace(
        "",
        {
            path: Entry(path=path, kind="array", etag="e" * 64, size=2**62, mtime=1e9)
            for path in paths
        },
    )
    seen: list[DatasetPath] = []
    cursor = ""
    while not seen or cursor:
        page = ledger.page(1, "i" * 64, -1, cursor)
        codec.encode(page)
        seen += [entry.path for entry in page.entries]
        cursor = page.cursor
    assert seen == sorted(paths)


# --- what a reader checks ---


def test_a_chunk_that_comes_twice_counts_once(tmp_path: Path) -> None:
    """A publisher that says one chunk twice must not make a replica look complete."""

    async def run() -> None:
        source = MemorySource()
        frame = blosc2.asarray(VALUES[:16], chunks=(8, 50), blocks=(4, 25)).to_cframe()
        info = source.info(source.put("a.b2nd", frame).path)
        assert info.nchunks == 2
        [run] = source.chunks(info.path, info.etag, [0])
        store = Store(tmp_path)
        try:
            replica = store.replica(RootName("foo"), info)
            fill = Fill(replica, lambda: pytest.fail("nothing is asked for"), Traffic())
            call = ChunksCall(fill, [0, 1])
            assert call.message(1) is not None
            digest = zlib.crc32(run.payload)
            reply = m.Chunks(
                id=1, n=(0, 0), sizes=tuple(run.sizes * 2), digests=(digest, digest), last=False
            )
            with contextlib.suppress(CatervaError):
                call.on_reply(reply, [memoryview(run.payload * 2)])
            assert not replica.complete
        finally:
            store.close()
            source.close()

    asyncio.run(run())


def test_who_waits_for_a_turn_on_a_silent_link_is_told_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_CHUNKS", 1)
    asked: list[Call[Any]] = []

    class Silence:
        """A connection on which no answer ever comes."""

        def submit(self, call: Call[Any]) -> None:
            asked.append(call)
            asyncio.get_running_loop().call_later(0.1, call.on_error, DeadlineExceeded("silent"))

        def cancel(self, call: Call[Any]) -> None:
            pass

    async def run() -> list[BaseException | None]:
        source = MemorySource()
        array = blosc2.asarray(VALUES, chunks=(4, 50), blocks=(4, 25))
        source.put("a.b2nd", array.to_cframe())
        replica = Store(tmp_path).replica(RootName("foo"), source.info(DatasetPath("a.b2nd")))
        silence: Any = Silence()
        fill = Fill(replica, lambda: silence, Traffic())
        waiting = (fill.ensure(np.array([n])) for n in range(10))
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert all(isinstance(error, DeadlineExceeded) for error in asyncio.run(run()))
    assert len(asked) == WINDOW
