"""OPTIONS, and pages of other sites that may read (CORS)."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

_READABLE = (
    "Accept-Ranges", "Content-Disposition", "Content-Range", "ETag", "Last-Modified", "Retry-After",
    "Warning",
)  # fmt: skip
_ALLOWED = ("Accept", "Content-Type", "If-Match", "If-None-Match", "If-Range", "Range")
_MAX_AGE_S = 600


def cross_origin(origins: Iterable[str]) -> Middleware:
    """Make the middleware that lets pages of these origins read, without the user's cookies."""
    return Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=_ALLOWED,
        expose_headers=_READABLE,
        max_age=_MAX_AGE_S,
    )


class Options:
    """Answer OPTIONS with the methods of a path.

    Parameters
    ----------
    app : ASGIApp
    routes : iterable of Route
    """

    def __init__(self, app: ASGIApp, routes: Iterable[Route]) -> None:
        self._app = app
        self._routes = tuple(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            methods = _methods(self._routes, scope)
            if methods:
                allow = ", ".join(sorted({*methods, "OPTIONS"}))
                await Response(status_code=204, headers={"Allow": allow})(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _methods(routes: Iterable[Route], scope: Scope) -> set[str]:
    if scope["path"] == "*":
        return {method for route in routes for method in route.methods or ()}
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            return set(route.methods or ())
    return set()
