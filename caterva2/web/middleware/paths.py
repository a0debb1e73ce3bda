"""Paths of requests that are no text."""

from __future__ import annotations

import urllib.parse

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from caterva2.errors import BadName
from caterva2.web import answers


class TextPaths:
    """Refuse paths that are not UTF-8 with 400: uvicorn replaces the characters in question."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "\ufffd" in scope["path"] and not _is_text(scope):
            error = BadName("the path is not UTF-8")
            refusal = await answers.on_caterva_error(Request(scope), error)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_text(scope: Scope) -> bool:
    try:
        urllib.parse.unquote_to_bytes(scope.get("raw_path", b"")).decode()
    except UnicodeDecodeError:
        return False
    return True
