"""A connection that was lent to a worker: it is answered from here, or goes back.

What is answered is a GET that arrives in one piece, with a usual head and without a body. All else
goes back to the core with the bytes that were received, and so does a request whose answer lacks
something that does not come in a short time.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Protocol, cast

from caterva2.limits import WebLimits
from caterva2.web.server.early import Answer, Asked
from caterva2.web.server.hosts import Served
from caterva2.web.server.prefix import Prefix

LONGEST = 4096
"""Bytes of a head that is answered here."""
PATIENCE = 1024
"""Most requests that the core answers before a connection is lent again."""
SETTLED = 16
"""Answers after which a connection that goes back may be lent again at once."""
SENDING = 0.005
"""Seconds after which it is looked again whether an answer was sent."""
LACKED = 1.0
"""Seconds that a request waits for what its answer lacks."""
LACKS = 24
"""Times that the answer to one request may lack something: a permission, then block after block."""
_HEAD = re.compile(
    rb"GET (/[!-\"$-~]*)"
    rb"( HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)\r\n)"
)  # as the core's parser has it, but for heads that are unusual
_LINE = re.compile(rb"GET (/[!-\"$-~]*)")


@dataclass(frozen=True, slots=True)
class Manner:
    """How requests are received."""

    limits: WebLimits
    hosts: Served
    prefix: Prefix


class Desk(Protocol):
    """What a connection asks for answers."""

    manner: Manner

    def joined(self, connection: LentConnection) -> None:
        """Note a connection that is open."""

    def left(self, connection: LentConnection) -> None:
        """Note a connection that is closed, or went back."""

    def answer(self, target: bytes, asked: Asked) -> Answer | None:
        """Answer at once, or not at all."""

    def answered(self, target: bytes, answer: Answer, client: str) -> None:
        """Note an answer."""

    def lacking(self) -> asyncio.Future[bool] | None:
        """Begin to get what the last answer lacked; None if the core has to answer."""

    def give_back(self, connection: LentConnection, data: bytes) -> bool:
        """Give a connection back, with bytes that were received; False if that is not possible."""

    def date(self) -> bytes:
        """Return the line of a head that says when it was sent."""


class LentConnection(asyncio.Protocol):
    """One connection.

    Parameters
    ----------
    desk : Desk
    ident : int
        Its number at the core.
    patience : int
        Requests that the core answers, if it comes back at once, before it is lent again.
    first : bytes
        What the core received of the first request.

    Attributes
    ----------
    used : float
        When it was last used, by the monotonic clock.
    client : str
        Its address.
    """

    def __init__(self, desk: Desk, ident: int, patience: int, first: bytes) -> None:
        self.ident, self.used = ident, time.monotonic()
        self._desk, self._patience, self._first = desk, patience, first
        self._answers = self._lacks = 0
        self._held = b""  # a request that waits for its answer, and what follows
        self._paused = False
        self._unsent = 0  # bytes that the client had not read when that was last looked at
        self._known: tuple[bytes, Asked] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.client = ""
        self.transport: asyncio.Transport

    # --- of the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # that of uvloop is no subclass
        peer = transport.get_extra_info("peername")
        self.client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._desk.joined(self)
        if self._first:
            first, self._first = self._first, b""
            self.data_received(first)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._desk.left(self)

    def data_received(self, data: bytes) -> None:
        if self._held:
            self._held += data
            self.transport.pause_reading()  # all of it goes back, or is answered, soon
        elif self._paused:
            self._hold(data)
        elif not self._answered(data):
            self._look_for_more(data)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._held and self._deadline is None:
            self._go_on()

    # --- answers ---

    def _answered(self, data: bytes) -> bool:
        """Answer what was received, if that is a request which can be answered at once."""
        if len(data) > LONGEST:
            return False
        target, asked = self._parsed(data)
        if asked is None:
            return False
        target = self._desk.manner.prefix.without(target)
        answer = self._desk.answer(target, asked)
        if answer is None:
            return False
        head = b"".join((answer.start, self._desk.date(), answer.headers, b"\r\n"))
        if len(answer.body) <= self._desk.manner.limits.write_held:
            self.transport.write(head + answer.body)
        else:
            self.transport.writelines((head, answer.body))
        self._desk.answered(target, answer, self.client)
        self.used = time.monotonic()
        self._answers += 1
        self._lacks = 0
        return True

    def _parsed(self, data: bytes) -> tuple[bytes, Asked | None]:
        """Return a target and what the head says; None if it is for the core."""
        if self._known is not None:
            rest, asked = self._known
            line = _LINE.fullmatch(data, 0, len(data) - len(rest)) if data.endswith(rest) else None
            if line is not None:
                return line[1], asked
        return self._parsed_anew(data)

    def _parsed_anew(self, data: bytes) -> tuple[bytes, Asked | None]:
        found = _HEAD.fullmatch(data)
        if found is None:
            return b"", None
        headers = []
        for line in found[3].split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            headers.append((name.lower(), value.strip(b" \t")))
        if len(headers) > self._desk.manner.limits.headers:
            return b"", None
        if self._desk.manner.hosts.refusal(headers) is not None:
            return b"", None
        asked = Asked.of(headers)
        self._known = None if asked is None else (found[2], asked)
        return found[1], asked

    def _look_for_more(self, data: bytes) -> None:
        """Wait for what the answer to a request lacks, or give it back."""
        self._lacks += 1
        lacking = self._desk.lacking() if self._lacks <= LACKS else None
        if lacking is None:
            self.give_back(data)
            return
        self._hold(data)
        self._deadline = asyncio.get_running_loop().call_later(LACKED, self._give_up)
        lacking.add_done_callback(self._found)

    def _found(self, done: asyncio.Future[bool]) -> None:
        if self._deadline is None or self.transport.is_closing():
            return
        self._stop_waiting()
        if done.cancelled() or done.exception() is not None or not done.result():
            self._give_up()
        elif not self._paused:
            self._go_on()

    def _go_on(self) -> None:
        held, self._held = self._held, b""
        self.transport.resume_reading()
        self.data_received(held)

    def _hold(self, data: bytes) -> None:
        self._held = data

    def _give_up(self) -> None:
        self._stop_waiting()
        held, self._held = self._held, b""
        self.give_back(held)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # --- the end ---

    @property
    def patience(self) -> int:
        """Requests that the core should answer before it lends this connection again."""
        return 1 if self._answers >= SETTLED else min(2 * self._patience, PATIENCE)

    def give_back(self, data: bytes = b"") -> None:
        """Give the connection back to the core, once all answers were sent."""
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size():
            self._held = data
            self._deadline = asyncio.get_running_loop().call_later(SENDING, self._give_up)
            return
        self._desk.give_back(self, data)
        self.transport.abort()  # the core has another descriptor of it

    def end(self) -> None:
        """Give the connection back with what waits for an answer, since the worker ends."""
        self._stop_waiting()
        held, self._held = self._held, b""
        self.give_back(held)

    def give_up(self) -> None:
        """Close the connection for the sake of another one, or give it back if it is not idle."""
        if self._held:
            self.end()
        else:
            self.transport.close()

    def sweep(self, now: float) -> None:
        """Close the connection if it is idle, or its client does not read, for too long."""
        limits = self._desk.manner.limits
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        if self._unsent < before:
            self.used = now
        elif self._unsent or self._held:
            if now - self.used > limits.stalled:
                self.transport.abort()
        elif now - self.used > limits.keep_alive:
            self.transport.close()
