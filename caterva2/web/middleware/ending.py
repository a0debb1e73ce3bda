"""Answers for requests that the server cancels because it ends."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caterva2.errors import Busy
from caterva2.web.answers import on_caterva_error

log = logging.getLogger(__name__)
_AGAIN_MS = 2000


class EndingAnswers:
    """Middleware: answer 503 where the server cancels a request, which would be logged as a fault.

    An answer that has begun is cut off, which its client notices.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            # The server is the only one that cancels the task of a request as a whole.
            log.info("%s was cut off by the end of the service", scope.get("path"))
            if not begun and scope["type"] == "http":
                request = Request(scope, receive)
                answer = await on_caterva_error(
                    request, Busy("the subscriber is ending", after_ms=_AGAIN_MS)
                )
                await answer(scope, receive, send)
