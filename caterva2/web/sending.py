"""Bodies made in memory, sent in pieces, and readers that stop reading."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from caterva2 import limits
from caterva2.budget import Budget, Hold


async def room(request: Request, size: int) -> Hold:
    """Wait for the memory that an answer of ``size`` decompressed bytes takes while it is made.

    Raises
    ------
    Busy
        If other answers take it all.
    """
    budget: Budget = request.app.state.outputs
    if not size:
        return Hold(budget, 0)
    # The values and their frame exist side by side.
    return await budget.take(2 * size, limits.REQUEST_DEADLINE)


class MadeBody(Response):
    """A body that counts against the budget until its reader has taken it."""

    def __init__(
        self,
        body: bytes | bytearray,
        hold: Hold,
        headers: dict[str, str],
        media_type: str,
    ) -> None:
        self._made = memoryview(body)
        self._hold = hold
        super().__init__(None, 200, headers | {"Content-Length": str(len(body))}, media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(start)
            size = 0 if scope["method"] == "HEAD" else len(self._made)
            for at in range(0, max(size, 1), limits.READ_PIECE):
                stop = min(at + limits.READ_PIECE, size)
                piece, more = self._made[at:stop], stop < size
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        finally:
            self._hold.release()


class PatientProtocol(HttpToolsProtocol):
    """HTTP whose connection is cut when its reader takes nothing for `limits.STALLED` seconds."""

    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None and self.transport is not None:
            self._stalled = self.loop.call_later(limits.STALLED, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
