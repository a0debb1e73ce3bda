"""Writes to a connection that become one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from caterva2 import limits
from caterva2.web.server.coalescing import CoalescingTransport


class Connection:
    """What is written to it, a list for each system call."""

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
    """The connection after something was done, and after the loop went on."""
    connection: Any = Connection()

    async def run() -> None:
        work(CoalescingTransport(connection, asyncio.get_running_loop()))
        if goes_on:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(run())
    made: Connection = connection
    return made


def test_head_and_body_are_one_write() -> None:
    def work(joining: CoalescingTransport) -> None:
        joining.write(b"head")
        joining.write(b"body")
        assert joining.get_write_buffer_size() == 108
        joining.flush()
        joining.flush()

    assert after(work, goes_on=True).written == [b"headbody"]


def test_head_does_not_wait_for_a_body_that_comes_later() -> None:
    assert after(lambda joining: joining.write(b"head"), goes_on=True).written == [b"head"]


def test_much_is_not_held() -> None:
    def work(joining: CoalescingTransport) -> None:
        joining.write(b"head")
        joining.write(bytes(limits.WRITE_HELD))
        joining.write(b"more")

    assert after(work).written == [b"head" + bytes(limits.WRITE_HELD), b"more"]


def test_what_is_held_goes_out_before_the_end() -> None:
    def work(joining: CoalescingTransport) -> None:
        joining.write(b"last words")
        joining.close()

    connection = after(work)
    assert connection.written == [b"last words"]
    assert connection.closed


def test_nothing_goes_out_of_a_connection_that_is_cut() -> None:
    def work(joining: CoalescingTransport) -> None:
        joining.write(b"head")
        joining.abort()

    connection = after(work, goes_on=True)
    assert connection.written == []
    assert connection.cut


def test_nothing_is_written_to_a_connection_that_was_lost() -> None:
    def work(joining: CoalescingTransport) -> None:
        joining.write(b"head")
        joining._transport.close()

    assert after(work, goes_on=True).written == []
