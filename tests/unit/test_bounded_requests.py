"""Heads, bodies and connections cost little before they are whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caterva2.limits import DEFAULTS, WebLimits
from caterva2.limits.constants import KIB
from caterva2.web.server.early import NothingEarly
from caterva2.web.server.http import HttpServer

LIMITS = replace(DEFAULTS.web, head_deadline=0.3, body_window=0.3)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
BEGUN = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
Talk = Callable[[Any], Coroutine[Any, Any, None]]


class Early(NothingEarly):
    """Keeps why clients were refused."""

    def __init__(self) -> None:
        self.refusals: list[str] = []

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)


class Server:
    """An application that echoes bodies, and is slow where the query says so."""

    def __init__(self) -> None:
        self.early = Early()
        self.go = asyncio.Event()
        self.running = 0
        self.changed = asyncio.Condition()
        self.headers: list[tuple[str, str]] = []
        self.port = 0

    async def answer(self, request: Request) -> Response:
        await self._count(1)
        try:
            if request.url.query == "wait":
                await self.go.wait()
            body = await request.body()
            self.headers = request.headers.items()
            return Response(body or request.url.query.encode())
        finally:
            await self._count(-1)

    async def _count(self, more: int) -> None:
        async with self.changed:
            self.running += more
            self.changed.notify_all()

    async def until_running(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.running == count)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def whole(self, sent: bytes) -> bytes:
        """Return all that comes for some bytes, until the server ends the connection."""
        reader, writer = await self.open()
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(sent)
                await writer.drain()
            return await _rest(reader)
        finally:
            writer.transport.abort()

    async def status(self, target: bytes = b"/") -> int:
        """Return the status of one ordinary request."""
        head = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target
        return _status(await self.whole(head))


async def _rest(reader: asyncio.StreamReader) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := await asyncio.wait_for(reader.read(2**16), 20):
            got += piece
    return got


def _status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


@contextlib.asynccontextmanager
async def serving(limits: WebLimits) -> AsyncIterator[Server]:
    server = Server()
    app = Starlette(routes=[Route("/", server.answer, methods=["GET", "POST"])])
    async with HttpServer(app, "127.0.0.1:0", limits, server.early) as http:
        server.port = int(http.url.rpartition(":")[2])
        try:
            yield server
        finally:
            server.go.set()


def served(talk: Callable[[Server], Coroutine[Any, Any, None]], limits: WebLimits = LIMITS) -> None:
    async def run() -> None:
        async with serving(limits) as server:
            await talk(server)

    asyncio.run(run())


def _endless(start: bytes, piece: bytes) -> Iterator[bytes]:
    yield start
    while True:
        yield piece


ENDLESS = {
    "headers": (BEGUN, b"X: " + 900 * b"v" + b"\r\n"),
    "small headers": (BEGUN, 100 * b"a:\r\n"),
    "header": (BEGUN + b"X: ", KIB * b"v"),
    "name": (BEGUN, KIB * b"n"),
    "URL": (b"GET /", KIB * b"u"),
    "extension of a chunk": (CHUNKED + b"1;", KIB * b"e"),
    "trailers": (CHUNKED + b"0\r\n", b"X: " + 900 * b"v" + b"\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_has_no_end_is_refused(kind: str) -> None:
    async def talk(server: Server) -> None:
        reader, writer = await server.open()
        answer, sent = asyncio.create_task(_rest(reader)), 0
        with contextlib.suppress(ConnectionError):
            for piece in _endless(*ENDLESS[kind]):
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                await asyncio.sleep(0)
                if answer.done() or sent > 2**26:
                    break
        writer.transport.abort()
        assert sent < 16 * 2**20
        assert _status(await answer) == 431
        assert await server.status() == 200

    served(talk)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (BEGUN + b"X: " + 60_000 * b"v" + b"\r\n", 200),
        (BEGUN + b"X: " + 66_000 * b"v" + b"\r\n", 431),
        (BEGUN + b"X: " + 70_000 * b"v" + b"\r\n", 431),
        (BEGUN + 98 * b"X: v\r\n", 200),
        (BEGUN + 100 * b"X: v\r\n", 431),
        (BEGUN + 5000 * b"X: v\r\n", 431),
        (b"GET /?" + 70_000 * b"u" + b" HTTP/1.1\r\nHost: x\r\n", 431),
    ],
)
def test_size_of_a_head_is_bounded(head: bytes, status: int) -> None:
    async def talk(server: Server) -> None:
        answer = await server.whole(head + b"Connection: close\r\n\r\n")
        assert _status(answer) == status
        if status == 431:
            assert b"HEAD_BYTES, 65536, or HEADERS, 100" in answer

    served(talk)


@pytest.mark.parametrize("before", [b"", GET])
@pytest.mark.parametrize(
    "sent", [b"", BEGUN, b"GET /", b"\r\n\r\n", CHUNKED + b"5\r\nab", CHUNKED + b"5;"]
)
def test_what_does_not_go_on_is_ended(before: bytes, sent: bytes) -> None:
    async def talk(server: Server) -> None:
        answer = await asyncio.wait_for(server.whole(before + sent), 10)
        last = answer.removeprefix(b"HTTP/1.1 200") if before else answer
        assert (b" 408 " in last) == (sent.strip() != b"")

    served(talk, replace(LIMITS, keep_alive=0.5))


def test_line_breaks_do_not_keep_a_connection() -> None:
    async def talk(server: Server) -> None:
        reader, writer = await server.open()
        ended = asyncio.create_task(_rest(reader))
        for _ in range(100):
            await asyncio.wait([ended], timeout=0.03)
            if ended.done():
                break
            writer.write(b"\r\n")
        assert ended.done()
        writer.transport.abort()

    served(talk)


def test_slow_body_is_refused_and_a_steady_one_is_not() -> None:
    async def talk(server: Server) -> None:
        async def send(rate: int) -> int:
            reader, writer = await server.open()
            head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 900\r\n\r\n"
            writer.write(head)
            answer = asyncio.create_task(_rest(reader))
            for _ in range(900 // rate):
                await asyncio.wait([answer], timeout=0.1)
                if answer.done():
                    break
                writer.write(rate * b"b")
            status = _status(await answer)
            writer.transport.abort()
            return status

        assert [await send(9), await send(90)] == [408, 200]

    served(talk, replace(LIMITS, body_rate=300))


def test_body_that_the_application_does_not_read_yet_is_not_blamed() -> None:
    async def talk(server: Server) -> None:
        size = 2**20
        reader, writer = await server.open()
        head = b"POST /?wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % size + size * b"b")
        await asyncio.sleep(1)
        server.go.set()
        answer = await _rest(reader)
        writer.close()
        assert (_status(answer), len(answer.partition(b"\r\n\r\n")[2])) == (200, size)

    served(talk)


def test_trailer_is_no_header() -> None:
    async def talk(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(CHUNKED.replace(b"/ ", b"/?wait ") + b"0\r\nCookie: c2subauth=x\r\n\r\n")
        await asyncio.sleep(0.1)
        server.go.set()
        assert _status(await reader.read(2**16)) == 200
        assert "cookie" not in dict(server.headers)
        writer.close()

    served(talk)


def test_pipelined_requests_are_answered_in_order_and_wait_as_bytes() -> None:
    async def talk(server: Server) -> None:
        count = 1000
        reader, writer = await server.open()
        first = GET.replace(b"/ ", b"/?wait ")
        writer.write(first + b"".join(GET.replace(b"/ ", b"/?%d " % n) for n in range(count)))
        await asyncio.sleep(0.5)
        assert server.running == 1
        server.go.set()
        got = b""
        while got.count(b"HTTP/1.1 200") <= count or not got.endswith(b"%d" % (count - 1)):
            piece = await asyncio.wait_for(reader.read(2**16), 20)
            assert piece
            got += piece
        bodies = [part.rpartition(b"\r\n\r\n")[2] for part in got.split(b"HTTP/1.1 200")[2:]]
        assert bodies == [b"%d" % n for n in range(count)]
        writer.close()

    served(talk)


def test_bad_request_behind_a_good_one_does_not_break_its_answer() -> None:
    async def talk(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(GET.replace(b"/ ", b"/?wait ") + BEGUN + 200 * b"X: v\r\n")
        await asyncio.sleep(0.1)
        server.go.set()
        answer = await _rest(reader)
        assert (_status(answer), answer.count(b"HTTP/1.1")) == (200, 1)
        writer.close()

    served(talk)


def test_running_requests_are_bounded() -> None:
    async def talk(server: Server) -> None:
        writers = [(await server.open())[1] for _ in range(4)]
        for writer in writers[:2]:
            writer.write(GET.replace(b"/ ", b"/?wait "))
        await server.until_running(2)
        assert await server.status() == 503
        assert server.early.refusals == ["too many requests at once (REQUESTS=2)"]
        server.go.set()
        await server.until_running(0)
        assert await server.status() == 200
        for writer in writers:
            writer.close()

    served(talk, replace(LIMITS, requests=2))


def test_connection_that_was_idle_longest_is_closed_for_a_new_one() -> None:
    async def talk(server: Server) -> None:
        running, *idle = [await server.open() for _ in range(3)]
        running[1].write(GET.replace(b"/ ", b"/?wait "))
        await server.until_running(1)
        assert await server.status() == 200
        assert await asyncio.wait_for(idle[0][0].read(), 5) == b""
        server.go.set()
        assert _status(await running[0].read(2**16)) == 200
        for _, writer in (running, *idle):
            writer.close()

    served(talk, replace(LIMITS, address_connections=3, head_deadline=60.0))


def test_one_address_with_only_busy_connections_gets_no_more() -> None:
    async def talk(server: Server) -> None:
        running = [await server.open() for _ in range(2)]
        for _, writer in running:
            writer.write(GET.replace(b"/ ", b"/?wait "))
        await server.until_running(2)
        assert await server.status() == 503
        assert server.early.refusals == ["too many connections of 127.0.0.1 (ADDRESS_CONNECTIONS)"]
        server.go.set()
        for _, writer in running:
            writer.close()

    served(talk, replace(LIMITS, address_connections=2))


@pytest.mark.parametrize("count", [1100, 2000])
@pytest.mark.slow
def test_many_silent_connections_keep_nobody_out(count: int) -> None:
    async def talk(server: Server) -> None:
        silent = [await server.open() for _ in range(count)]
        assert [await server.status() for _ in range(20)] == 20 * [200]
        for _, writer in silent:
            writer.transport.abort()

    served(talk, DEFAULTS.web)
