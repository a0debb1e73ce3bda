"""The uvicorn protocol of our connections, as far as it receives: bounded heads and bodies.

Nothing is taken for granted before it is whole: the bytes and the time of a head, the rate of a
body, what frames its chunks, and requests that are sent before the last one was answered.
"""

from __future__ import annotations

import asyncio
import enum
import http
import json
from typing import Any, ClassVar, Self

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl

from caterva2.limits import WebLimits
from caterva2.rest.errors import Error
from caterva2.runtime.fair_shares import share_of
from caterva2.web.server.connections import Connections
from caterva2.web.server.hosts import AnyHost, Refusal, Served
from caterva2.web.server.protocol import StallGuardProtocol

_PIECE = 4096
"""Bytes that are parsed at once: as much may follow a head that was complete, unseen."""
_BODY_PIECE = 4 * _PIECE
_LINGER_S = 1.0
"""Seconds that a refused client has to read why, while what it goes on to send is dropped."""
_LINGER_BYTES = 2**20
_INVALID: Refusal = (400, "bad-request", "Invalid HTTP request received.")


class Stage(enum.Enum):
    """What is received next."""

    NOTHING = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    REFUSED = enum.auto()


class _HoldingFlow(FlowControl):
    """Flow control that reads no further while bytes are held that were not parsed."""

    def __init__(self, transport: asyncio.Transport, held: bytearray) -> None:
        super().__init__(transport)
        self._held = held

    def resume_reading(self) -> None:
        if not self._held:
            super().resume_reading()


class BoundedProtocol(StallGuardProtocol):
    """HTTP whose requests cost little before they are whole.

    A head is refused with 431 above HEAD_BYTES or HEADERS, with 408 after HEAD_DEADLINE; a body
    with 408 below BODY_RATE. Requests above REQUESTS are answered with 503, and those for a host
    that is not served with 421.
    """

    connections_open: ClassVar[Connections]
    hosts: ClassVar[Served] = AnyHost()

    @classmethod
    def limited(cls, limits: WebLimits) -> type[Self]:
        """Return this class with other limits, and with connections of its own."""
        made = super().limited(limits)
        made.connections_open = Connections(limits)
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = Stage.NOTHING
        self._unpaid = 0  # bytes of a head, or since the last ones of a body
        self._received = 0  # bytes of a body in this window
        self._held = bytearray()
        self._refusal: Refusal | None = None
        self._clock: asyncio.TimerHandle | None = None

    # --- connections ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _HoldingFlow(self.transport, self._held)
        self._clock = self.loop.call_later(self.limits.head_deadline, self._head_late)
        share = share_of(self.client[0] if self.client else "")
        if not self.connections_open.add(self, share):
            self.note_refusal(f"too many connections of {share} (ADDRESS_CONNECTIONS)")
            self._refuse((503, "busy", "too many connections (ADDRESS_CONNECTIONS)"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections_open.discard(self)
        self._stop_clock()
        self._held.clear()
        super().connection_lost(exc)

    def note_refusal(self, reason: str) -> None:
        """Note that a client is refused for using up a limit; here nothing comes of it."""

    def give_up(self) -> None:
        """Close this connection, which is idle, for the sake of another one."""
        self.transport.close()

    # --- bytes ---

    def data_received(self, data: bytes) -> None:
        if self._stage is Stage.REFUSED:
            self._unpaid += len(data)
            if self._unpaid > _LINGER_BYTES:
                self.transport.abort()
        elif self._held or self.pipeline:
            self._held += data
            self.flow.pause_reading()
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        at = 0
        while at < len(data) and self._stage is not Stage.REFUSED:
            if self.pipeline:  # the rest waits, as bytes
                self._held += data[at:]
                self.flow.pause_reading()
                break
            step = _BODY_PIECE if self._stage is Stage.BODY else _PIECE
            self._parse(data[at : at + step])
            at += step
        if self._clock is None:
            self._start_clock()

    def _parse(self, piece: bytes) -> None:
        self._unpaid += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:  # it is answered as HTTP/1.1, and is the last one
            self.cycle.keep_alive = False
            self._stage = Stage.REFUSED
            return
        except httptools.HttpParserError:
            self._refuse(self._refusal or _INVALID)
            return
        if self._unpaid > self.limits.head_bytes and self._stage is not Stage.NOTHING:
            self._refuse(self._too_large())

    def _go_on(self) -> None:
        """Parse what was held while other requests waited."""
        if self._held and not self.pipeline and not self.transport.is_closing():
            held = bytes(self._held)
            self._held.clear()
            self.flow.resume_reading()
            self._feed(held)

    # --- the parser's callbacks ---

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._stage = Stage.HEAD

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is Stage.BODY:
            return  # a trailer; it must not become a header of a request that is under way
        if len(self.headers) >= self.limits.headers:
            self._refusal = self._too_large()
            raise ValueError(self._refusal)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._unpaid > self.limits.head_bytes - _PIECE and self._head_size() > (
            self.limits.head_bytes
        ):
            self._refusal = self._too_large()
        else:
            self._refusal = self.hosts.refusal(self.headers)
        if self._refusal is not None:
            raise ValueError(self._refusal)
        self._begin_request()
        self._unset_keepalive_if_required()
        self._stop_clock()
        self._stage, self._unpaid, self._received = Stage.BODY, 0, 0

    def _begin_request(self) -> None:
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unpaid = 0
        self._received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_clock()
        self._stage, self._unpaid = Stage.NOTHING, 0
        if self.cycle is not None:  # there is none for the first request if it was answered early
            super().on_message_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_large(self) -> Refusal:
        bounds = f"HEAD_BYTES, {self.limits.head_bytes}, or HEADERS, {self.limits.headers}"
        return 431, "too-large", f"the head of the request is larger than {bounds}"

    # --- requests ---

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.connections_open.busy(self)
        if len(self.tasks) >= self.limits.requests:
            self.note_refusal(f"too many requests at once (REQUESTS={self.limits.requests})")
            app = _too_many(self.limits.requests)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._held:
            self.loop.call_soon(self._go_on)
        elif not self.pipeline:
            self.connections_open.idle(self)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # --- times ---

    def _start_clock(self) -> None:
        if self._stage is Stage.HEAD:
            self._clock = self.loop.call_later(self.limits.head_deadline, self._head_late)
        elif self._stage is Stage.BODY:
            self._received = 0
            self._clock = self.loop.call_later(self.limits.body_window, self._body_late)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _head_late(self) -> None:
        self._clock = None
        if self._answering():
            self._start_clock()
        elif self._stage is Stage.HEAD:
            seconds = f"{self.limits.head_deadline:g} s"
            self._refuse(
                (408, "deadline", f"the head was not complete after HEAD_DEADLINE, {seconds}")
            )
        else:
            self.transport.close()

    def _body_late(self) -> None:
        self._clock = None
        # Time in which we do not read, or did not ask for the body yet, is not the client's.
        ours = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if ours or self._received >= self.limits.body_rate * self.limits.body_window:
            self._start_clock()
        else:
            rate = f"BODY_RATE, {self.limits.body_rate} bytes a second"
            self._refuse((408, "deadline", f"the body arrives slower than {rate}"))

    # --- refusals ---

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with an error, if nothing else is being answered, and end the connection."""
        unread, self._stage = self._stage is Stage.BODY, Stage.REFUSED
        self._unpaid = 0
        self._stop_clock()
        self._held.clear()
        if self._answering() and not unread:
            self.cycle.keep_alive = False  # the last answer is still sent
            return
        if unread and (self.pipeline or self.cycle.response_started):
            self.transport.abort()
            return
        if unread:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_response(refusal))
        self.transport.write_eof()
        self._clock = self.loop.call_later(_LINGER_S, self.transport.abort)


def _response(refusal: Refusal) -> bytes:
    status, name, detail = refusal
    body: Error = {"detail": detail, "code": status, "name": name, "retry": "no"}
    content = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content


def _too_many(requests: int) -> Any:
    body: Error = {
        "detail": f"too many requests at once (REQUESTS={requests})",
        "code": 503, "name": "busy", "retry": "later",
    }  # fmt: skip
    content = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"), (b"retry-after", b"1"),
        (b"content-length", str(len(content)).encode()),
    ]  # fmt: skip

    async def answer(scope: Scope, _: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        content_sent = b"" if scope["method"] == "HEAD" else content
        await send({"type": "http.response.body", "body": content_sent})

    return answer
