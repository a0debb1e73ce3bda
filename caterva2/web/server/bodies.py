"""Bodies made in memory, sent in pieces, and readers that stop reading."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from caterva2 import limits
from caterva2.runtime.budget import Budget, Hold
from caterva2.web.server.coalescing import CoalescingTransport

Buffer = bytes | bytearray | memoryview


async def room(request: Request, size: int, *, computed: bool = False) -> Hold:
    """Wait for the memory that an answer takes, in bytes.

    What is ``computed`` may take long to be made, and has room of its own: nobody who reads
    what is stored waits for it.

    Raises
    ------
    Busy
        If other answers take it all.
    """
    state = request.app.state
    stored: Budget = state.small_outputs if size <= limits.SMALL_OUTPUT else state.outputs
    budget: Budget = state.computed_outputs if computed else stored
    if not size:
        return Hold(budget, 0)
    return await budget.take(size, limits.REQUEST_DEADLINE)


def pieces(*bodies: Buffer) -> Iterator[memoryview]:
    """What a connection is given at once, so that a slow reader is seen to take some of it."""
    for body in bodies:
        view = memoryview(body)
        for at in range(0, len(view), limits.READ_PIECE):
            yield view[at : at + limits.READ_PIECE]


class BudgetedBody(Response):
    """A body that counts against the budget until its reader has taken it.

    Parameters
    ----------
    bodies : sequence of bytes-like
        Sent one after the other.
    hold : Hold
        The room that they take.
    """

    def __init__(
        self, bodies: Sequence[Buffer], hold: Hold, headers: dict[str, str], media_type: str
    ) -> None:
        length = sum(map(len, bodies))
        hold.grow(length)
        self._bodies = bodies
        self._hold = hold
        # All that Starlette's own __init__ would do, since that takes as long as reading a slice.
        self.status_code = 200
        self.background = None
        self.body = b""
        self.raw_headers = [
            (b"content-length", b"%d" % length),
            (b"content-type", media_type.encode()),
            *[(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(start)
            bodies: Sequence[Buffer] = () if scope["method"] == "HEAD" else self._bodies
            last: Buffer = b""
            if len(bodies) == 1 and len(bodies[0]) <= limits.READ_PIECE:
                last, bodies = bodies[0], ()
            for piece in pieces(*bodies):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": last, "more_body": False})
        finally:
            self._hold.release()


class StallGuardProtocol(HttpToolsProtocol):
    """HTTP whose connection is cut when its reader takes nothing for `limits.STALLED` seconds.

    Small answers are sent in one piece.
    """

    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._joining = CoalescingTransport(transport, self.loop)
        super().connection_made(self._joining)

    def on_response_complete(self) -> None:
        self._joining.flush()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._look is None:
            self._look_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._look = self.loop.call_later(limits.STALLED, self._cut_unless_less, left)

    def _cut_unless_less(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._look_later()
        else:
            self.transport.abort()

    def _forget(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
