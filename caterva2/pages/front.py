"""The way of requests to the pages: what is no page goes on to the REST interface."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator
from typing import Final

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from caterva2.runtime.tasks import cancel_all
from caterva2.web.state import WebState

log = logging.getLogger(__name__)
PLACES = frozenset(
    ("roots", "search", "about", "login", "logout", "register", "account", "users", "static",
     "change", "compute", "status", "trash", "view", "favicon.ico")
)  # fmt: skip
"""First parts of the paths of pages. ``/`` is one where HTML is accepted."""
_SITE: Final = "caterva2.pages.site"
AHEAD_S: Final = 2.0
"""Seconds after the start at which the pages are loaded, when first requests have been answered."""


class Pages:
    """The pages of one web application, and what renders them.

    They are loaded with the first request for a page, or a while after the start, so that a start
    does not wait for them, and neither does the first page in most cases.

    Parameters
    ----------
    ahead : float
        Seconds after which they are loaded without a request.
    """

    def __init__(self, ahead: float = AHEAD_S) -> None:
        self._ahead = ahead
        self._state: WebState | None = None
        self._site: ASGIApp | None = None
        self._loading = asyncio.Lock()

    def front(self, state: WebState) -> Middleware:
        """Make the middleware that answers with pages, for `caterva2.web.app.make_app`."""
        self._state = state
        return Middleware(Front, self)

    async def site(self) -> ASGIApp:
        """Return the application of the pages."""
        if self._site is not None:
            return self._site
        async with self._loading:
            if self._site is None:
                assert self._state is not None
                self._site = await asyncio.to_thread(_make_site, self._state)
            return self._site

    @contextlib.asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Load them in a thread a while after the context is entered."""
        task = asyncio.create_task(self._load(), name="pages")
        try:
            yield
        finally:
            await cancel_all([task])

    async def _load(self) -> None:
        await asyncio.sleep(self._ahead)
        try:
            site = await self.site()
            await asyncio.to_thread(importlib.import_module(_SITE).warm_up, site)
        except Exception:  # the next request for a page tries again, and has the error
            log.exception("the pages can't be loaded")


class Front:
    """Answer requests for pages.

    Parameters
    ----------
    app : ASGIApp
        Answers all other requests.
    pages : Pages
    """

    def __init__(self, app: ASGIApp, pages: Pages) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_page(scope):
            await self._app(scope, receive, send)
            return
        site = await self._pages.site()
        await site(scope, receive, send)


def _make_site(state: WebState) -> ASGIApp:
    made: ASGIApp = importlib.import_module(_SITE).make_site(state)
    return made


def _is_page(scope: Scope) -> bool:
    path: str = scope["path"]
    if path != "/":
        return path.split("/", 2)[1] in PLACES
    if scope["method"] not in ("GET", "HEAD"):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
