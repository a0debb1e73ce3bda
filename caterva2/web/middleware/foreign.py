"""Requests that pages of other sites send: these change nothing."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from caterva2.errors import NotAllowed
from caterva2.rest import paths
from caterva2.web import answers

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_DELETE_USER = paths.prefix(paths.DELETE_USER)
_READING = (paths.prefix(paths.FETCH), paths.COMPUTE)
"""Calls that read with POST, since a query would be too long."""


class ForeignChanges:
    """Refuse what may change something and was sent by a page of another site.

    It does not matter whether there is a session: a subscriber that serves everybody is changed
    from within its network only, and a browser in it is no door for other sites.

    Parameters
    ----------
    app : ASGIApp
    origins : iterable of str
        Of pages that may read, with POST too.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_refused(scope):
            error = NotAllowed("another site sent this request")
            refusal = await answers.on_caterva_error(Request(scope), error)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_refused(self, scope: Scope) -> bool:
        return _changes(scope) and is_foreign(scope) and not self._may_read(scope)

    def _may_read(self, scope: Scope) -> bool:
        if not scope["path"].startswith(_READING):
            return False
        origin = dict(scope["headers"]).get(b"origin", b"")
        return b"*" in self._origins or origin in self._origins


def _changes(scope: Scope) -> bool:
    """Return whether a request may change something; deleting a user works with GET too."""
    return scope["method"] not in _SAFE or scope["path"].startswith(_DELETE_USER)


def is_foreign(scope: Scope) -> bool:
    """Return whether a page of another site sent a request; only browsers send these headers."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin", headers.get(b"referer"))
    if origin is None:
        return False
    try:
        own = urllib.parse.urlsplit(origin).netloc.lower() == headers.get(b"host", b"").lower()
    except ValueError:
        return True
    return not own
