"""What happens to the roots, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from caterva2.model import ChangeEvent, Event, Lost, RootEvent
from caterva2.names import RootName
from caterva2.web import answers
from caterva2.web.middleware import sessions
from caterva2.web.reader import Listener, Reader

HEARTBEAT_S = 15.0
"""Seconds of silence after which a comment shows that the connection lives."""
KIND = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
NAMES = {RootEvent: "roots", ChangeEvent: "change", Lost: "lost"}


class EventStream(StreamingResponse):
    """An answer that lasts until the client or the server leaves, or the session is over."""

    def __init__(self, listener: Listener, lasts: Callable[[], Awaitable[bool]]) -> None:
        super().__init__(_lines(listener, lasts), 200, HEADERS, KIND)
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._listener.close()


async def _lines(listener: Listener, lasts: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    while True:
        try:
            event = await asyncio.wait_for(listener.next(), HEARTBEAT_S)
            if event is None:
                return
            line = _line(event)
        except TimeoutError:
            line = b": still here\n\n"
        if not await lasts():
            return
        yield line


def _line(event: Event | Lost) -> bytes:
    return f"event: {NAMES[type(event)]}\ndata: {json.dumps(asdict(event))}\n\n".encode()


def answer(request: Request, reader: Reader) -> Response:
    """The stream of events, of all roots or of the one that the query names."""
    name = request.query_params.get("root")
    root = RootName(name) if name is not None else None
    if request.method == "HEAD":
        return answers.head_only(HEADERS, KIND)
    return EventStream(reader.listen(root), lambda: sessions.lasts(request))
