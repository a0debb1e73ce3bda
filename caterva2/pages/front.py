"""The way of requests to the pages: what is no page goes on to the REST interface."""

from __future__ import annotations

import asyncio
import importlib

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from caterva2.web.state import WebState

PLACES = frozenset(
    ("roots", "search", "about", "login", "logout", "register", "account", "users", "static",
     "change", "compute", "trash", "view", "favicon.ico")
)  # fmt: skip
"""First parts of the paths of pages. ``/`` is one where HTML is accepted."""


class Front:
    """Answer requests for pages.

    The pages and what renders them are loaded with the first of these requests: many subscribers
    serve programs only.

    Parameters
    ----------
    app : ASGIApp
        Answers all other requests.
    state : WebState
    """

    def __init__(self, app: ASGIApp, state: WebState) -> None:
        self._app = app
        self._state = state
        self._site: ASGIApp | None = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_page(scope):
            await self._app(scope, receive, send)
            return
        site = self._site or await self._load()
        await site(scope, receive, send)

    async def _load(self) -> ASGIApp:
        async with self._loading:
            if self._site is None:
                self._site = await asyncio.to_thread(_make_site, self._state)
            return self._site


def _make_site(state: WebState) -> ASGIApp:
    made: ASGIApp = importlib.import_module("caterva2.pages.site").make_site(state)
    return made


def _is_page(scope: Scope) -> bool:
    path: str = scope["path"]
    if path != "/":
        return path.split("/", 2)[1] in PLACES
    if scope["method"] not in ("GET", "HEAD"):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def front(state: WebState) -> Middleware:
    """Make the middleware that answers with pages, for `caterva2.web.app.make_app`."""
    return Middleware(Front, state)
