"""The uvicorn protocol of our connections: joined writes, and an end for stalled clients."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from caterva2.limits import DEFAULTS, WebLimits
from caterva2.limits.constants import KIB
from caterva2.web.server.coalescing import CoalescingTransport

_LARGE = 64 * KIB
"""Bytes of a piece from which on a copy of it costs more than a list of what stands around it."""


class _Uncopied:
    """An application whose bodies without a length are framed around their large pieces.

    uvicorn joins each piece with its frame, which copies it on the event loop.
    """

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        self._app, self._cycle = app, cycle

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        await self._app(scope, receive, self._write)

    async def _write(self, message: Message) -> None:
        cycle, body = self._cycle, message.get("body", b"")
        framed = cycle.chunked_encoding and message.get("more_body", False)
        if len(body) < _LARGE or not framed or cycle.scope["method"] == "HEAD":
            await cycle.send(message)  # type: ignore[arg-type] # the type of another library
            return
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if not cycle.disconnected:
            cycle.transport.writelines((b"%x\r\n" % len(body), body, b"\r\n"))


class StallGuardProtocol(HttpToolsProtocol):
    """HTTP whose connection is cut when its client reads nothing for STALLED seconds.

    Small answers are sent with one system call, and large pieces are not copied.
    """

    limits: ClassVar[WebLimits] = DEFAULTS.web
    _check: asyncio.TimerHandle | None = None

    @classmethod
    def limited(cls, limits: WebLimits) -> type[Self]:
        """Return this class with other limits: uvicorn makes the instances itself."""
        return type(cls.__name__, (cls,), {"limits": limits})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        given = transport, self.loop, self.limits.write_held, self._watch
        self._coalescing = CoalescingTransport(*given)
        super().connection_made(self._coalescing)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        super()._start_asgi_task(cycle, _Uncopied(app, cycle))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        self._coalescing.flush()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():  # else it lasts until all is read
            self._stop_checking()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_checking()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self._check is None:
            self._check_later()

    def _check_later(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._check = self.loop.call_later(self.limits.stalled, self._cut_unless_less, left)

    def _cut_unless_less(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._check_later()
        else:
            self.transport.abort()

    def _stop_checking(self) -> None:
        if self._check is not None:
            self._check.cancel()
            self._check = None
