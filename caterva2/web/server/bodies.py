"""In-memory bodies of answers, charged to a budget until they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from caterva2.limits.constants import KIB, READ_PIECE
from caterva2.runtime.budget import Hold
from caterva2.web.state import state_of

Buffer = bytes | bytearray | memoryview
_LONG = 64 * KIB
"""Bytes of a piece after which others get the loop."""


async def hold(request: Request, size: int, *, computed: bool = False) -> Hold:
    """Wait for the memory that an answer of ``size`` bytes takes.

    ``computed`` answers have a budget of their own, since they may take long: no answer with
    stored data waits for them.

    Raises
    ------
    Busy
        If other answers hold it for longer than REQUEST_DEADLINE.
    """
    state = state_of(request)
    budget = state.budget_for(size, computed=computed)
    if not size:
        return Hold(budget, 0)
    return await budget.take(size, state.limits.wire.request_deadline)


def pieces(*bodies: Buffer) -> Iterator[memoryview]:
    """Cut bodies into the pieces that are written at once: then a slow client is seen to read."""
    for body in bodies:
        view = memoryview(body)
        for at in range(0, len(view), READ_PIECE):
            yield view[at : at + READ_PIECE]


async def in_turns(*bodies: Buffer) -> AsyncIterator[memoryview]:
    """Yield the pieces of bodies, and let others have the loop after each that is long.

    A client that takes them as quickly as they are written would have the loop until the end.
    """
    for piece in pieces(*bodies):
        yield piece
        if len(piece) > _LONG:
            await asyncio.sleep(0)


class BudgetedBody(Response):
    """A body that counts against a budget until it was sent.

    Parameters
    ----------
    bodies : sequence of bytes-like
        Sent one after the other.
    hold : Hold
        The memory that they take.
    headers : dict
    media_type : str
    status : int
    """

    def __init__(
        self,
        bodies: Sequence[Buffer],
        hold: Hold,
        headers: dict[str, str],
        media_type: str,
        status: int = 200,
    ) -> None:
        length = sum(map(len, bodies))
        hold.grow(length)
        self._bodies = bodies
        self._hold = hold
        # As Starlette's __init__ would do, which takes as long as reading a small slice.
        self.status_code = status
        self.background = None
        self.body = b""
        self.raw_headers = [
            (b"content-length", b"%d" % length),
            (b"content-type", media_type.encode()),
            *[(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        start["headers"] = self.raw_headers
        try:
            await send(start)
            bodies: Sequence[Buffer] = () if scope["method"] == "HEAD" else self._bodies
            last: Buffer = b""
            if len(bodies) == 1 and len(bodies[0]) <= READ_PIECE:
                last, bodies = bodies[0], ()
            async for piece in in_turns(*bodies):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": last, "more_body": False})
        finally:
            self._hold.release()
