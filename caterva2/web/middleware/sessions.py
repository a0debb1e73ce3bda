"""Whose request it is, and what every answer tells a browser."""

from __future__ import annotations

import http.cookies
import urllib.parse

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caterva2 import limits
from caterva2.accounts.accounts import Accounts
from caterva2.errors import CatervaError, LoginNeeded, NotAllowed
from caterva2.model import User
from caterva2.web import answers

COOKIE = "c2subauth"
_COOKIE_BYTES = COOKIE.encode()
COOKIE_HEADER = 16 * 1024
"""Bytes of cookies above which nothing in them is looked at."""
Headers = list[tuple[bytes, bytes]]
CSP = b"content-security-policy"
PLAIN: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
]
STRICT = (CSP, b"default-src 'none'; frame-ancestors 'none'; sandbox")
"""For what is no page: a browser that shows it runs nothing and loads nothing."""


class SecurityHeaders:
    """Adds to every answer what keeps a browser from doing harm with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message["headers"]
                own = any(name == CSP for name, _ in given)
                message["headers"] = [*given, *PLAIN] if own else [*given, *PLAIN, STRICT]
            await send(message)

        await self._app(scope, receive, guarded)


class Sessions:
    """Finds the user of each request by its cookie, and refuses what another site makes one do.

    Parameters
    ----------
    app : ASGIApp
    accounts : Accounts
    """

    def __init__(self, app: ASGIApp, accounts: Accounts) -> None:
        self._app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = _token(scope)
        try:
            user = await self._accounts.user_of(token) if token else None
            _refuse_foreign(scope, token)
        except CatervaError as error:
            refusal = await answers.on_caterva_error(Request(scope), error)
            await refusal(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["user"], state["token"] = user, token
        over = token != "" and user is None
        await self._app(scope, receive, _telling(scope, send, user, over))


def _telling(scope: Scope, send: Send, user: User | None, over: bool) -> Send:
    """Tell caches that answers are for one user, and a client that its session is over."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], (b"vary", b"Cookie")]
            names = {name for name, _ in headers}
            if user is not None and b"cache-control" not in names:
                headers.append((b"cache-control", b"private"))
            if over and b"set-cookie" not in names:
                headers.append((b"set-cookie", _cookie(scope, "", 0).encode()))
            message["headers"] = headers
        await send(message)

    return told


def _token(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"cookie" and _COOKIE_BYTES in value and len(value) <= COOKIE_HEADER:
            for pair in value.split(b";"):
                key, _, content = pair.strip().partition(b"=")
                if key == _COOKIE_BYTES:
                    token: str = content.strip(b'"').decode("latin-1")
                    return token
    return ""


def _refuse_foreign(scope: Scope, token: str) -> None:
    """Let no page of another site use a session, or begin one."""
    as_user = token or scope["path"].startswith("/auth/")
    if as_user and _changes(scope) and _foreign(scope):
        raise NotAllowed("another site sent this request")


def _changes(scope: Scope) -> bool:
    """Whether a request may change something; one does though it is a GET."""
    return scope["method"] not in ("GET", "HEAD", "OPTIONS") or scope["path"].startswith(
        "/api/deluser/"
    )


def _foreign(scope: Scope) -> bool:
    """Whether a page of another site sent a request; programs are no browsers and do not tell."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    if origin is None:
        return False
    try:
        own = urllib.parse.urlsplit(origin).netloc.lower() == headers.get(b"host", b"").lower()
    except ValueError:
        return True
    return not own


def _cookie(scope: Scope, token: str, seconds: int) -> str:
    made: http.cookies.SimpleCookie = http.cookies.SimpleCookie({COOKIE: token})
    made[COOKIE] |= {"path": "/", "httponly": True, "samesite": "lax", "max-age": seconds}
    made[COOKIE]["secure"] = scope["scheme"] == "https"
    return made[COOKIE].OutputString()


def begin(request: Request, token: str) -> Response:
    """An answer that has its client keep a token."""
    cookie = _cookie(request.scope, token, int(limits.SESSION))
    return Response(status_code=204, headers={"Set-Cookie": cookie, "Cache-Control": "no-store"})


def end(request: Request) -> Response:
    """An answer that has its client forget its token."""
    return Response(status_code=204, headers={"Set-Cookie": _cookie(request.scope, "", 0)})


def user_of(request: Request) -> User | None:
    """Who asks; None if nobody has logged in."""
    user: User | None = getattr(request.state, "user", None)
    return user


async def lasts(request: Request) -> bool:
    """Whether who asked would still be let in: for answers that go on and on."""
    user = user_of(request)
    accounts: Accounts | None = request.app.state.accounts
    if user is None or accounts is None:
        return True
    return await accounts.user_of(request.state.token) == user


def logged_in(request: Request, doing: str) -> User:
    """Who asks, for what only users may do.

    Raises
    ------
    LoginNeeded
        If nobody has logged in; where there are no accounts it says what would require one.
    """
    user = user_of(request)
    if user is None:
        accounts = request.app.state.accounts
        raise LoginNeeded("Unauthorized" if accounts else f"{doing} requires authentication")
    return user
