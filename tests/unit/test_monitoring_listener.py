"""The listener for metrics: answers whole, and whatever connects costs little"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from caterva2.errors import ConfigError, StartError
from caterva2.runtime.monitoring import listener as module
from caterva2.runtime.monitoring.listener import HEAD, Answer, MonitoringListener

HOST = b"Host: localhost:9100\r\n"
LOCAL = b"this server is for this machine\n"


async def _page() -> Answer:
    return Answer("all is well\n", "text/x", 200)


async def _broken() -> Answer:
    raise ValueError("no page")


def serve(work: Callable[[int], Awaitable[None]]) -> None:
    async def run() -> None:
        async with MonitoringListener("127.0.0.1:0", {"/a": _page, "/b": _broken}) as made:
            await work(int(made.url.rpartition(":")[2]))

    asyncio.run(run())


async def asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (b"GET /a?x=1 HTTP/1.1\r\n" + HOST + b"\r\n", 200, b"all is well\n"),
        (b"GET /a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200, b"all is well\n"),
        (b"GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200, b"all is well\n"),
        (b"HEAD /a HTTP/1.1\r\n" + HOST + b"\r\n", 200, b""),
        (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", 404, b"there are /a, /b\n"),
        (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400, b"this is no request\n"),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n{}", 405, b"only GET\n"),
        (b"GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, LOCAL),
        (b"GET /a HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", 421, LOCAL),
        (b"GET /a HTTP/1.1\r\n\r\n", 400, b"this is no request\n"),
        (b"GET /a HTTP/1.1\r\n" + HOST + b"X: " + HEAD * b"x", 431, b"this is no request\n"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, b"this is no request\n"),
    ],
)  # fmt: skip
def test_answers(request_: bytes, status: int, body: bytes) -> None:
    async def work(port: int) -> None:
        answer = await asked(port, request_)
        head, _, content = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert content == body
        assert b"connection: close" in head.lower()
        assert (b"content-type: text/x" in head.lower()) == (status == 200)

    serve(work)


def test_those_who_send_nothing_lose_their_connection_and_hold_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TIME", 0.3)

    async def work(port: int) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        silent[0][1].write(b"GET /a HTTP/1.1\r\n")
        request = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
        assert (await asked(port, request)).startswith(b"HTTP/1.1 200 ")
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()

    serve(work)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 2)

    async def work(port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        request = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
        assert await _quietly(port, request) == b""
        for _, writer in held:
            writer.close()
        for _ in range(1000):
            if (await _quietly(port, request)).startswith(b"HTTP/1.1 200 "):
                return
            await asyncio.sleep(0.01)
        pytest.fail("a place did not become free")

    serve(work)


async def _quietly(port: int, request: bytes) -> bytes:
    try:
        return await asked(port, request)
    except ConnectionError:
        return b""


def test_a_page_that_fails_is_logged_and_others_are_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(port: int) -> None:
        assert await asked(port, b"GET /b HTTP/1.1\r\n" + HOST + b"\r\n") == b""
        assert b" 200 " in await asked(port, b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n")

    serve(work)
    assert "a request for metrics failed" in caplog.text


@pytest.mark.parametrize("address", ["9100", "a:b", "127.0.0.1:99999", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"metrics: .* is not an address: write HOST:PORT"):
        MonitoringListener(address, {})


def test_an_address_in_use_is_named() -> None:
    async def work(port: int) -> None:
        with pytest.raises(StartError, match=rf"metrics: can't listen on 127.0.0.1:{port}: "):
            async with MonitoringListener(f"127.0.0.1:{port}", {}):
                pass

    serve(work)
