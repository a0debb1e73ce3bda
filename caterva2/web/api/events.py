"""Events of the roots, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from caterva2.errors import SlowDown
from caterva2.model import Event, Lost
from caterva2.names import RootName
from caterva2.rest import events, media, paths
from caterva2.runtime.fair_shares import share_of
from caterva2.web import answers
from caterva2.web.contracts.watching import Events, Listener
from caterva2.web.middleware import sessions
from caterva2.web.operation import Operation, Parameter, Reply
from caterva2.web.state import reader_of, state_of

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """An answer that ends with the client's connection, the server or the client's session.

    Parameters
    ----------
    listener : Listener
    is_allowed : callable
        Asked before each event whether the client may still read them.
    heartbeat : float
        Seconds without an event after which a comment shows that the connection works.
    """

    def __init__(
        self, listener: Listener, is_allowed: Callable[[], Awaitable[bool]], heartbeat: float
    ) -> None:
        super().__init__(lines(listener, is_allowed, heartbeat), 200, HEADERS, media.EVENTS)
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._listener.close()


class _Counted:
    """A listener that counts against the share of its client's address until it is closed."""

    def __init__(self, listener: Listener, counts: Counter[str], share: str) -> None:
        self._listener, self._counts, self._share = listener, counts, share
        counts[share] += 1

    async def next(self) -> Event | Lost | None:
        return await self._listener.next()

    def close(self) -> None:
        self._listener.close()
        self._counts[self._share] -= 1
        if not self._counts[self._share]:
            del self._counts[self._share]


async def lines(
    listener: Listener, is_allowed: Callable[[], Awaitable[bool]], heartbeat: float
) -> AsyncIterator[bytes]:
    """Yield the events of a listener, encoded for the stream."""
    yield b"retry: 2000\n\n"
    while True:
        try:
            async with asyncio.timeout(heartbeat):
                event = await listener.next()
            if event is None:
                return
            line = _line(event)
        except TimeoutError:
            line = b": still here\n\n"
        if not await is_allowed():
            return
        yield line


def _line(event: Event | Lost) -> bytes:
    return f"event: {events.NAMES[type(event)]}\ndata: {json.dumps(asdict(event))}\n\n".encode()


async def listen(request: Request) -> Response:
    name = request.query_params.get("root")
    root = RootName(name) if name is not None else None
    if request.method == "HEAD":
        return answers.head_only(HEADERS, media.EVENTS)
    source: Events = reader_of(request)
    state = state_of(request)
    share, bound = share_of(request.client.host if request.client else ""), state.limits.web
    if state.listeners[share] >= bound.address_listeners:
        most = f"ADDRESS_LISTENERS={bound.address_listeners}"
        raise SlowDown(f"too many event listeners of this address ({most})", after_ms=10_000)
    listener = _Counted(source.listen(root), state.listeners, share)
    return EventStream(listener, lambda: sessions.lasts(request), bound.heartbeat)


_EVENTS = Reply(
    "Server-sent events: `roots` (a RootEvent), `change` (a ChangeEvent), `lost` (a LostEvent)",
    {media.EVENTS: str},
    parts=(events.RootEvent, events.ChangeEvent, events.LostEvent),
)

OPERATIONS = (
    Operation(
        "GET", paths.EVENTS, listen, "Listen to events of the roots", {200: _EVENTS},
        failures=(400, 429, 503),
        parameters=(Parameter("root", str, "send events of this root only"),),
    ),
)  # fmt: skip
