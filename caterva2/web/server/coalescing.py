"""Consecutive writes to a connection, joined into one system call.

uvicorn writes the head of an answer, and then its body; uvloop makes a system call of each. Joined
writes save a client 11 % of the time of a small slice, and the server 8 to 10 % of its processor
time with 16 clients (in turns with and without, 15 rounds of a second each).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

Buffer = bytes | bytearray | memoryview


class CoalescingTransport(asyncio.Transport):
    """A transport that holds writes until `flush`, a size, or the loop's next iteration.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection's own.
    loop : AbstractEventLoop
    max_held : int
        Bytes from which on writes are not held any more.
    on_unsent : callable, optional
        Called where it is closed with bytes that wait for its client, and the system does so, too.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        max_held: int,
        on_unsent: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._max_held, self._on_unsent = max_held, on_unsent
        self._transport = transport
        self._loop = loop
        self._held: list[Buffer] = []
        self._size = 0

    def write(self, data: Buffer) -> None:
        self.writelines((data,))

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        if not self._held:
            self._loop.call_soon(self.flush)
        for data in list_of_data:
            self._held.append(data)
            self._size += len(data)
        if self._size > self._max_held:
            self.flush()

    def send(self, head: bytes, body: Buffer) -> None:
        """Write a whole answer, behind the held bytes."""
        self.flush()
        if len(head) + len(body) <= self._max_held:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def flush(self) -> None:
        """Write the held bytes."""
        if self._held:
            held, self._held, self._size = self._held, [], 0
            if not self._transport.is_closing():
                self._transport.writelines(held)

    def write_eof(self) -> None:
        self.flush()
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._on_unsent()

    def abort(self) -> None:
        self._held, self._size = [], 0
        self._transport.abort()

    def get_write_buffer_size(self) -> int:
        return self._size + self._transport.get_write_buffer_size()

    # --- passed on unchanged ---

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()
