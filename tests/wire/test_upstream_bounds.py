"""What an upstream that is broken, slow or hostile answers to requests over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dataserver import Collect

from caterva2.errors import (
    BadMessage,
    CatervaError,
    Damaged,
    DeadlineExceeded,
    NotFound,
    RootOffline,
    StaleVersion,
    StartError,
)
from caterva2.limits import DEFAULTS
from caterva2.names import RootName
from caterva2.subscriber.upstream.options import UpstreamOptions
from caterva2.subscriber.upstream.requester import HttpRequester
from caterva2.subscriber.upstream.session import Session
from caterva2.subscriber.upstream.shown import Shown
from caterva2.wire import codec, exchange
from caterva2.wire import messages as m

ROOT = RootName("foo")
WIRE = replace(DEFAULTS.wire, first_byte=0.3, retries=1, backoff=0.01)
LIMITS = replace(DEFAULTS, wire=WIRE)
ASKED = m.BytesRequest(path="a", etag="e", start=0, stop=10, deadline_ms=1000)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.caterva2.messages\r\n"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def framed(reply: Any, payload: bytes = b"") -> bytes:
    return exchange.begin(bytes(codec.encode(reply)[1]), len(payload)) + payload


def plain(body: bytes, length: int | None = None, head: bytes = HEAD) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        size = len(body) if length is None else length
        writer.write(head + b"Content-Length: %d\r\n\r\n" % size + body)

    return answer


LAST = framed(m.Bytes(id=1, start=0, digest=0, last=True), b"0123456789")
PROMISED = exchange.LENGTHS.pack(20, 2**32 - 1)
LONG_HEADER = exchange.LENGTHS.pack(2**31, 0)


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte each tenth of a second: never silent, and never at its end."""
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n" + exchange.LENGTHS.pack(99_000, 0))
    while True:
        writer.write(b"\x81")
        await writer.drain()
        await asyncio.sleep(0.1)


async def silent(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n")
    await asyncio.sleep(60)


class World:
    """An upstream whose answers are a test's, and what asks it."""

    def __init__(self, requester: HttpRequester) -> None:
        self.requester = requester
        self.answers: list[Answer] = []
        self.heads: list[bytes] = []
        self.serving: set[asyncio.Task[None]] = set()
        self.ends: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        self.ends.append(writer)
        with (
            contextlib.closing(writer),
            contextlib.suppress(
                asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError
            ),
        ):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = next(
                    (int(one.split(b":")[1]) for one in head.lower().split(b"\r\n")
                     if one.startswith(b"content-length")), 0,
                )  # fmt: skip
                await reader.readexactly(length)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                await answer(writer)
                await writer.drain()

    async def ask(self, *answers: Answer, seconds: float = 5.0) -> list[tuple[Any, list[bytes]]]:
        self.answers = list(answers)
        call = Collect(ASKED, seconds)
        call.payload_most = 100
        self.requester.submit(call)
        async with asyncio.timeout(20):
            await call.done
        return call.replies


@contextlib.asynccontextmanager
async def world(token: Path | None = None) -> AsyncIterator[World]:
    made: list[World] = []
    server = await asyncio.start_server(lambda r, w: made[0].serve(r, w), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    session = Session(UpstreamOptions(f"http://127.0.0.1:{port}", token), LIMITS)
    requester = HttpRequester(session, ROOT, Shown(), limits=WIRE)
    made.append(World(requester))
    try:
        yield made[0]
    finally:
        await asyncio.to_thread(requester.close)
        await asyncio.to_thread(session.close)
        server.close()
        for _ in range(30):  # the last that was accepted is a connection after some steps only
            for task in made[0].serving:
                task.cancel()
            await asyncio.gather(*made[0].serving, return_exceptions=True)
            for end in made[0].ends:
                end.transport.abort()
            await asyncio.sleep(0)  # they are closed by the loop


def run(work: Callable[[World], Awaitable[None]], token: Path | None = None) -> None:
    async def go() -> None:
        async with world(token) as made:
            await work(made)

    asyncio.run(go())


def test_replies_arrive_and_the_connection_is_used_again() -> None:
    async def work(made: World) -> None:
        for _ in range(3):
            ((reply, payload),) = await made.ask(plain(LAST))
            assert (reply.type, payload) == ("bytes", [b"0123456789"])
        assert len(made.heads) == 3
        assert made.requester.up and not made.requester.failing

    run(work)


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:1/\r\n"
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
PACKED = HEAD + b"Content-Encoding: gzip\r\n"
REFUSED: list[tuple[str, Answer, type[CatervaError], str]] = [
    ("4 GB are promised", plain(PROMISED, 2**40), BadMessage, "4294967295 bytes of payload"),
    ("a long header", plain(LONG_HEADER, 2**40), BadMessage, "too long"),
    ("no message", plain(exchange.LENGTHS.pack(4, 0) + b"\xc1\xc1\xc1\xc1"), BadMessage, "msgpack"),
    ("a request instead", plain(framed(m.Hello())), BadMessage, "type"),
    ("the body ends within a reply", plain(LAST[:-3]), RootOffline, "too early"),
    ("the connection ends within a reply", plain(LAST[:-3], 1000), RootOffline, "lost"),
    ("an empty body", plain(b""), RootOffline, "too early"),
    ("a redirect", plain(b"", head=REDIRECT), BadMessage, "redirects"),
    ("a page", plain(b"<html>", head=HTML), BadMessage, "text/html"),
    ("a packed body", plain(b"x", head=PACKED), BadMessage, "instead of"),
    ("a status", plain(b"x", head=b"HTTP/1.1 502 Bad\r\n"), RootOffline, "502"),
    ("no HTTP", plain(b"", head=b"SSH-2.0\r\n"), RootOffline, "lost"),
]


@pytest.mark.parametrize(("answer", "kind", "words"), [one[1:] for one in REFUSED],
                         ids=[one[0] for one in REFUSED])  # fmt: skip
def test_refused(answer: Answer, kind: type[CatervaError], words: str) -> None:
    async def work(made: World) -> None:
        began = time.monotonic()
        with pytest.raises(kind, match=words):
            await made.ask(answer)
        assert time.monotonic() - began < 5

    run(work)


def test_a_drip_ends_at_the_deadline_and_silence_before_it() -> None:
    async def work(made: World) -> None:
        with pytest.raises(DeadlineExceeded):
            await made.ask(drip, seconds=0.8)
        with pytest.raises(RootOffline, match="lost"):
            await made.ask(silent, seconds=10)

    run(work)


def test_what_is_lost_is_asked_for_again() -> None:
    async def work(made: World) -> None:
        ((_, payload),) = await made.ask(plain(LAST[:-3], 1000), plain(LAST))
        assert payload == [b"0123456789"]

    run(work)


def test_errors_of_the_upstream_are_what_they_are_there() -> None:
    stale = codec.error_message(1, StaleVersion("changed", subject="a", info={"etag": "new"}))

    async def work(made: World) -> None:
        with pytest.raises(StaleVersion) as found:
            await made.ask(plain(framed(stale)))
        assert found.value.info["etag"] == "new"
        gone = codec.error_message(1, NotFound("no chunk", subject="a"))
        with pytest.raises(NotFound):
            await made.ask(plain(framed(gone)))

    run(work)


def test_the_token_travels_with_each_request_and_is_in_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("c2_secret\n")

    async def work(made: World) -> None:
        caplog.set_level(logging.DEBUG)
        await made.ask(plain(LAST))
        assert b"Authorization: Bearer c2_secret" in made.heads[0]
        with pytest.raises(RootOffline, match="refuses"):
            body = b'{"name": "login-needed", "detail": "not valid", "code": 401}'
            await made.ask(plain(body, head=b"HTTP/1.1 401 No\r\n"))

    run(work, file)
    assert "c2_secret" not in caplog.text


def test_a_token_goes_to_this_machine_by_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("c2_secret\n")
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")  # for documentation: nothing is there

    async def work(made: World) -> None:
        assert len(await made.ask(plain(LAST))) == 1

    run(work, file)


@pytest.mark.parametrize("proxy", ["ftp://proxy.example", "http://[::1"])
def test_a_proxy_that_is_none_is_refused_at_the_start(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(StartError, match="a proxy that the environment names"):
        Session(UpstreamOptions("https://lab.example"), LIMITS)


def test_cookies_are_not_kept() -> None:
    async def work(made: World) -> None:
        await made.ask(plain(LAST, head=HEAD + b"Set-Cookie: a=1\r\n"))
        await made.ask(plain(LAST))
        assert b"cookie" not in made.heads[1].lower()

    run(work)


def test_a_call_that_is_cancelled_or_left_ends() -> None:
    async def work(made: World) -> None:
        made.answers = [silent]
        left, cancelled = Collect(ASKED), Collect(ASKED)
        made.requester.submit(left)
        made.requester.submit(cancelled)
        made.requester.cancel(cancelled)
        await asyncio.to_thread(made.requester.close)
        with pytest.raises(RootOffline, match="went away"):
            async with asyncio.timeout(10):
                await left.done
        await asyncio.sleep(0)
        assert not cancelled.done.done()

    run(work)


class Checking(Collect):
    """A call that finds every payload damaged."""

    def on_reply(self, reply: Any, payload: Sequence[memoryview]) -> bool:
        raise Damaged("a digest is wrong")


def test_what_has_a_wrong_digest_is_asked_for_again_and_then_refused() -> None:
    async def work(made: World) -> None:
        made.answers = [plain(LAST)]
        call = Checking(ASKED)
        call.payload_most = 100
        made.requester.submit(call)
        with pytest.raises(Damaged):
            async with asyncio.timeout(10):
                await call.done
        assert len(made.heads) == 1 + WIRE.retries

    run(work)
