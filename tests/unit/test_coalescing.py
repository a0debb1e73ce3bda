"""Consecutive writes to a connection become one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from caterva2.web.server.coalescing import CoalescingTransport
from caterva2.web.server.protocol import _Uncopied

MAX_HELD = 1000


class Connection:
    """A connection that records what each system call writes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = self.cut = False

    def writelines(self, data: Any) -> None:
        self.written.append(b"".join(data))

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 100

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.cut = True


def after(work: Callable[[CoalescingTransport], None], goes_on: bool = False) -> Connection:
    """Return the connection after some work, and after the loop's next iterations."""
    connection: Any = Connection()

    async def run() -> None:
        work(CoalescingTransport(connection, asyncio.get_running_loop(), MAX_HELD))
        if goes_on:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(run())
    made: Connection = connection
    return made


def test_head_and_body_are_one_write() -> None:
    def work(coalescing: CoalescingTransport) -> None:
        coalescing.write(b"head")
        coalescing.write(b"body")
        assert coalescing.get_write_buffer_size() == 108
        coalescing.flush()
        coalescing.flush()

    assert after(work, goes_on=True).written == [b"headbody"]


def test_head_does_not_wait_for_a_body_that_comes_later() -> None:
    assert after(lambda coalescing: coalescing.write(b"head"), goes_on=True).written == [b"head"]


def test_much_is_not_held() -> None:
    def work(coalescing: CoalescingTransport) -> None:
        coalescing.write(b"head")
        coalescing.write(bytes(MAX_HELD))
        coalescing.write(b"more")

    assert after(work).written == [b"head" + bytes(MAX_HELD), b"more"]


def test_what_is_held_goes_out_before_the_end() -> None:
    def work(coalescing: CoalescingTransport) -> None:
        coalescing.write(b"last words")
        coalescing.close()

    connection = after(work)
    assert connection.written == [b"last words"]
    assert connection.closed


def test_nothing_goes_out_of_a_connection_that_is_cut() -> None:
    def work(coalescing: CoalescingTransport) -> None:
        coalescing.write(b"head")
        coalescing.abort()

    connection = after(work, goes_on=True)
    assert connection.written == []
    assert connection.cut


def test_nothing_is_written_to_a_connection_that_was_lost() -> None:
    def work(coalescing: CoalescingTransport) -> None:
        coalescing.write(b"head")
        coalescing._transport.close()

    assert after(work, goes_on=True).written == []


@pytest.mark.parametrize(
    ("given", "uncopied"),
    [
        ({}, True),
        ({"disconnected": True}, False),
        ({"chunked_encoding": False}, False),
        ({"scope": {"method": "HEAD"}}, False),
    ],
)
def test_large_piece_is_framed_without_a_copy(given: dict[str, Any], uncopied: bool) -> None:
    large, written, sent = memoryview(bytes(70_000)), list[Any](), list[Any]()

    async def send(message: Any) -> None:
        sent.append(message["body"])

    state: dict[str, Any] = {
        "chunked_encoding": True, "disconnected": False, "scope": {"method": "GET"},
        "flow": SimpleNamespace(write_paused=False), "send": send,
        "transport": SimpleNamespace(writelines=written.extend), **given,
    }  # fmt: skip

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for body, more in ((b"first", True), (large, True), (large, False)):
            await send({"type": "http.response.body", "body": body, "more_body": more})

    asyncio.run(_Uncopied(app, SimpleNamespace(**state))({}, None, None))  # type: ignore[arg-type]
    if uncopied:
        assert written == [b"11170\r\n", large, b"\r\n"]
        assert written[1] is large
        assert sent == [b"first", large]
    else:
        assert written == []
        assert sent == [b"first", large] if state["disconnected"] else [b"first", large, large]
