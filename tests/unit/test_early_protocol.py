"""Requests that are answered while they are parsed, and what is known of their heads"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

import pytest

from caterva2.limits import DEFAULTS, WebLimits
from caterva2.runtime.logs.requests import RequestRecords
from caterva2.web.server.connections import Connections
from caterva2.web.server.early import Answer, Asked, KnownHead, NothingEarly, Recorded
from caterva2.web.server.http import HttpServer

REST = b" HTTP/1.1\r\nHost: x\r\nAccept: y\r\n\r\n"
FIRST = b"GET /early/1" + REST
WAIT_S = 60


class Early(NothingEarly):
    """Answers what is below ``/early``."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, Asked]] = []

    def answer(self, target: bytes, asked: Asked) -> Answer | None:
        self.seen.append((target, asked))
        if not target.startswith(b"/early"):
            return None
        body = b"early " + target
        length = b"content-length: %d\r\n" % len(body)
        return Answer(b"HTTP/1.1 200 OK\r\n", length, body, "ann@x")


def test_early_answers_are_in_the_access_log_but_for_those_of_a_proxy(tmp_path: Path) -> None:
    class Noting(Early):
        def refused(self, reason: str) -> None:
            noted.append(reason)

    async def work(talk: Talk) -> None:
        for target in (b"/early/a%20b?token=secret", b"/early/2"):
            assert (await talk.ask(b"GET " + target + REST)).startswith(b"early")
        proxied = REST.replace(b"Accept", b"X-Forwarded-For")
        assert (await talk.ask(b"GET /early/3" + proxied)).startswith(b"app")

    noted: list[str] = []
    with RequestRecords(access=str(tmp_path / "access")) as kept:
        recorded: Any = Recorded(Noting(), kept)
        recorded.refused("too many")
        run(work, recorded)
    assert noted == ["too many"]
    lines = [json.loads(line) for line in (tmp_path / "access").read_text().splitlines()]
    assert [(line["path"], line["bytes"]) for line in lines] == [
        ("/early/a b", 31),
        ("/early/2", 14),
    ]
    seen = {(line["user"], line["client"], line["status"], line["route"]) for line in lines}
    assert seen == {
        ("ann@x", "127.0.0.1", 200, "/early/a b"),
        ("ann@x", "127.0.0.1", 200, "/early/2"),
    }
    assert "secret" not in (tmp_path / "access").read_text()


class Talk:
    """A connection to a server whose application tells the body of each request."""

    def __init__(self, early: Early) -> None:
        self.early = early
        self.go = asyncio.Event()
        self.reached = asyncio.Event()
        self.passed: list[str] = []
        self.server: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.passed.append(scope["path"])
        self.reached.set()
        if scope["path"] == "/wait":
            await self.go.wait()
        body = (await receive())["body"]
        answer = b"app " + scope["path"].encode() + b" " + body
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def open(self) -> None:
        port = int(self.server.url.rpartition(":")[2])
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)

    async def answer(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            return await self.reader.readexactly(int(length))

    async def ask(self, sent: bytes) -> bytes:
        self.writer.write(sent)
        return await self.answer()


@contextlib.asynccontextmanager
async def talking(early: Early, limits: WebLimits = DEFAULTS.web) -> AsyncIterator[Talk]:
    talk = Talk(early)
    app: Any = talk
    async with HttpServer(app, "127.0.0.1:0", limits, early) as server:
        talk.server = server
        await talk.open()
        try:
            yield talk
        finally:
            talk.go.set()
            talk.writer.transport.abort()


def run(work: Any, early: Early, limits: WebLimits = DEFAULTS.web) -> Talk:
    async def main() -> Talk:
        async with talking(early, limits) as talk:
            await work(talk)
            return talk

    return asyncio.run(main())


def test_each_target_of_a_repeated_head_is_answered() -> None:
    async def work(talk: Talk) -> None:
        for target in (b"/early/1", b"/early/2", b"/other", b"/early/3?x=%20"):
            expected = b"early " + target if target != b"/other" else b"app /other "
            assert await talk.ask(b"GET " + target + REST) == expected

    talk = run(work, Early())
    assert talk.passed == ["/other"]
    assert {asked for _, asked in talk.early.seen} == {Asked(accept=b"y")}


def test_another_head_is_looked_at_anew() -> None:
    async def work(talk: Talk) -> None:
        for cookie in (b"a", b"a", b"b", b""):
            line = b"Cookie: " + cookie + b"\r\n" if cookie else b""
            await talk.ask(b"GET /early HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n")

    talk = run(work, Early())
    assert [asked.cookie for _, asked in talk.early.seen] == [b"a", b"a", b"b", b""]


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (b"bytes=20-30\r\nHost: x\r\n\r\n", b"bytes=20-30"),
        (b"bytes=-5\r\nHost: x\r\n\r\n", b"bytes=-5"),
        (b"bytes=0-1,3-4\r\nHost: x\r\n\r\n", None),
        (b"bytes=0-1\r\nHost: y\r\n\r\n", None),
        (b"bytes=0-1\r\nIf-None-Match: *\r\nHost: x\r\n\r\n", None),
        (b"bytes=0-1\r\nHost: x\r\n\r\nmore", None),
        (b"\r\nHost: x\r\n\r\n", None),
        (b"Host: x\r\n\r\n", None),
    ],
)
def test_a_repeated_head_may_have_another_range(rest: bytes, expected: bytes | None) -> None:
    before = b" HTTP/1.1\r\nrange: "
    asked = Asked(range=b"bytes=0-1", accept=b"*/*")
    known = KnownHead.of(b"GET /a" + before + b"bytes=0-1\r\nHost: x\r\n\r\n", asked)
    assert known is not None
    found = known.repeated(b"GET /b" + before + rest)
    assert found == (None if expected is None else (b"/b", replace(asked, range=expected)))
    assert known.repeated(b"GET /b c" + before + rest) is None
    assert known.repeated(b"POST /b" + before + rest) is None


def test_a_head_that_came_in_pieces_is_not_taken_for_a_repeated_one() -> None:
    """The second piece looks like a head, and has not all of it."""

    async def work(talk: Talk) -> None:
        talk.writer.write(b"GET /one HTTP/1.1\r\nCookie: secret\r\nX-Rest: ")
        await asyncio.sleep(0.05)  # most likely they arrive apart; nothing depends on it
        assert await talk.ask(FIRST) == b"app /one "
        assert await talk.ask(FIRST) == b"early /early/1"

    talk = run(work, Early())
    assert talk.early.seen[-1] == (b"/early/1", Asked(accept=b"y"))


def test_a_body_is_no_head() -> None:
    async def work(talk: Talk) -> None:
        await talk.ask(FIRST)
        await talk.ask(FIRST)
        talk.writer.write(b"POST /post HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(FIRST))
        await asyncio.sleep(0.05)  # most likely they arrive apart; nothing depends on it
        assert await talk.ask(FIRST) == b"app /post " + FIRST
        assert await talk.ask(FIRST) == b"early /early/1"

    run(work, Early())


@pytest.mark.parametrize("known", [False, True])
def test_of_requests_at_once_only_the_first_is_answered_early(known: bool) -> None:
    async def work(talk: Talk) -> None:
        if known:
            await talk.ask(FIRST)
        assert await talk.ask(FIRST + b"GET /early/2" + REST) == b"early /early/1"
        assert await talk.answer() == b"app /early/2 "

    run(work, Early())


def test_answers_keep_their_order_behind_one_that_waits() -> None:
    async def work(talk: Talk) -> None:
        await talk.ask(FIRST)
        talk.writer.write(b"GET /wait" + REST)
        await asyncio.sleep(0.05)  # most likely they arrive apart; nothing depends on it
        talk.writer.write(FIRST)
        await asyncio.sleep(0.05)
        talk.go.set()
        assert await talk.answer() == b"app /wait "
        assert (await talk.answer()).endswith(b"/early/1 ")

    run(work, Early())


@pytest.mark.parametrize(
    "line",
    [b"Connection: close", b"Content-Length: 0", b"If-None-Match: x", b"Origin: http://x",
     b"Expect: 100-continue", b"Accept: z"],
)  # fmt: skip
def test_what_needs_more_is_left_to_the_application(line: bytes) -> None:
    async def work(talk: Talk) -> None:
        await talk.ask(FIRST)
        sent = b"GET /early HTTP/1.1\r\nHost: x\r\nAccept: y\r\n" + line + b"\r\n\r\n"
        talk.writer.write(sent)
        if line.startswith(b"Expect"):
            await talk.reader.readuntil(b"100 Continue\r\n\r\n")
        assert await talk.answer() == b"app /early "

    run(work, Early())


@pytest.mark.parametrize("line", [b"GET /early/1 HTTP/1.0", b"GET http://x/early/1 HTTP/1.1"])
def test_other_first_lines_are_left_to_the_application(line: bytes) -> None:
    async def work(talk: Talk) -> None:
        await talk.ask(FIRST)
        answer = await talk.ask(line + b"\r\nHost: x\r\nAccept: y\r\n\r\n")
        assert answer.startswith(b"app ")

    run(work, Early())


def test_the_answer_to_a_client_that_reads_nothing_is_left_to_the_application() -> None:
    async def work(talk: Talk) -> None:
        await talk.ask(FIRST)
        (protocol,) = talk.server._server.server_state.connections
        protocol.pause_writing()
        talk.writer.write(FIRST)
        async with asyncio.timeout(WAIT_S):
            await talk.reached.wait()
        protocol.resume_writing()
        assert await talk.answer() == b"app /early/1 "

    run(work, Early())


def test_an_idle_connection_ends_after_a_while() -> None:
    async def work(talk: Talk) -> None:
        await talk.ask(FIRST)
        async with asyncio.timeout(WAIT_S):
            assert await talk.reader.read() == b""

    run(work, Early(), replace(DEFAULTS.web, keep_alive=0.2))


def test_a_connection_that_was_just_used_is_kept() -> None:
    async def work(talk: Talk) -> None:
        await talk.ask(FIRST)
        (protocol,) = talk.server._server.server_state.connections
        protocol.timeout_keep_alive_handler()
        assert await talk.ask(FIRST) == b"early /early/1"
        protocol._answered_at -= 2 * protocol.timeout_keep_alive
        protocol.timeout_keep_alive_handler()
        async with asyncio.timeout(WAIT_S):
            assert await talk.reader.read() == b""

    run(work, Early())


def test_a_connection_that_was_just_used_is_not_the_one_that_gives_up() -> None:
    class Connection:
        given_up = False

        def give_up(self) -> None:
            self.given_up = True

    made = [Connection() for _ in range(3)]
    connections = Connections(replace(DEFAULTS.web, connections=2, address_connections=2), 100)
    for one in made[:2]:
        connections.add(one, "a")
    connections.used(made[0])
    connections.add(made[2], "a")
    assert [one.given_up for one in made] == [False, True, False]
    connections.used(made[1])
    assert len(connections) == 2


def test_a_client_that_leaves_the_end_of_an_answer_unread_is_cut() -> None:
    async def work() -> None:
        async with talking(Early(), replace(DEFAULTS.web, stalled=0.05)) as talk:
            talk.writer.transport.pause_reading()
            talk.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
            server = talk.server._server.server_state
            while not server.connections:  # noqa: ASYNC110 - it tells no event
                await asyncio.sleep(0.001)
            (protocol,) = server.connections
            protocol.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, 4096)
            while not protocol.transport.get_write_buffer_size():
                talk.writer.write(b"GET /early/%b" % bytes(3000).replace(b"\0", b"x") + REST)
                await asyncio.sleep(0.01)
            protocol.give_up()
            async with asyncio.timeout(WAIT_S):
                while server.connections:  # noqa: ASYNC110 - it tells no event
                    await asyncio.sleep(0.01)

    asyncio.run(work())


def test_a_server_that_ends_leaves_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its client took a part of an answer only."""
    monkeypatch.setattr("caterva2.web.server.http._GRACE_S", 0)

    async def work() -> None:
        with socket.socket() as client:
            async with talking(Early()) as talk:
                client.connect(("127.0.0.1", int(talk.server.url.rpartition(":")[2])))
                connections = talk.server._server.server_state.connections
                async with asyncio.timeout(WAIT_S):
                    while len(connections) < 2:  # noqa: ASYNC110 - it tells no event
                        await asyncio.sleep(0.001)
                transports = [each.transport for each in connections]
                for transport in transports:
                    transport.write(bytes(32 << 20))
            assert [each.get_extra_info("socket").fileno() for each in transports] == [-1, -1]

    asyncio.run(work())
