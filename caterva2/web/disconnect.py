"""Work for an answer goes on for as long as its client waits, and not for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

from caterva2 import limits
from caterva2.errors import DeadlineExceeded

T = TypeVar("T")
GONE_CHECK_S = 0.5
"""Seconds between two looks at whether the client still waits."""


async def until_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do something for as long as its client is there to hear of it, within a limit."""
    watch = _Watch(request)
    try:
        try:
            return await work
        finally:
            await watch.stop()
    except asyncio.CancelledError:
        if watch.verdict is None or watch.worker.uncancel():
            raise  # somebody else has ended it
        raise watch.verdict from None


class _Watch:
    """Ends the task that made it when its client is gone; costs nothing if that is quick."""

    def __init__(self, request: Request) -> None:
        worker = asyncio.current_task()
        assert worker is not None
        self.worker: asyncio.Task[Any] = worker
        self.verdict: Exception | None = None
        self._request = request
        self._looking: asyncio.Task[None] | None = None
        self._later = asyncio.get_running_loop().call_later(GONE_CHECK_S, self._begin)

    def _begin(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        until = time.monotonic() + limits.ANSWER_DEADLINE
        while self.verdict is None:
            if await self._request.is_disconnected():
                self.verdict = HTTPException(499, "the client went away")
            elif time.monotonic() > until:
                self.verdict = DeadlineExceeded(
                    f"{self._request.url.path} took longer than ANSWER_DEADLINE, "
                    f"{limits.ANSWER_DEADLINE:g} s"
                )
            else:
                await asyncio.sleep(GONE_CHECK_S)
        self.worker.cancel()

    async def stop(self) -> None:
        self._later.cancel()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
