"""Cancellation of a request whose client disconnects, or whose deadline passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

from caterva2.errors import DeadlineExceeded
from caterva2.web.state import state_of

T = TypeVar("T")


async def until_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Run work for a request; cancel it when the client disconnects or the deadline passes.

    Raises
    ------
    HTTPException
        499 if the client disconnected; that answer is not read.
    DeadlineExceeded
        After ANSWER_DEADLINE seconds.
    """
    watch = _Watch(request)
    try:
        try:
            return await work
        finally:
            await watch.stop()
    except asyncio.CancelledError:
        if watch.verdict is None or watch.worker.uncancel():
            raise  # cancelled by someone else
        raise watch.verdict from None


class _Watch:
    """Cancel the task that made it when its client is gone; costs nothing if it is quick."""

    def __init__(self, request: Request) -> None:
        worker = asyncio.current_task()
        assert worker is not None
        self.worker: asyncio.Task[Any] = worker
        self.verdict: Exception | None = None
        self._request = request
        self._limits = state_of(request).limits.web
        self._looking: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._later = loop.call_later(self._limits.disconnect_check, self._begin)

    def _begin(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        deadline = self._limits.answer_deadline
        until = time.monotonic() + deadline
        while self.verdict is None:
            if await self._request.is_disconnected():
                self.verdict = HTTPException(499, "the client disconnected")
            elif time.monotonic() > until:
                self.verdict = DeadlineExceeded(
                    f"{self._request.url.path} took longer than ANSWER_DEADLINE, {deadline:g} s"
                )
            else:
                await asyncio.sleep(self._limits.disconnect_check)
        self.worker.cancel()

    async def stop(self) -> None:
        self._later.cancel()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
