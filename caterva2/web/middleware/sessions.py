"""The users of requests, by the cookie of a session or an API token, and security headers."""

from __future__ import annotations

import asyncio
import http.cookies
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caterva2.accounts.accounts import Accounts
from caterva2.accounts.scopes import TokenUser, scope_of
from caterva2.errors import CatervaError, LoginNeeded, NotAllowed
from caterva2.limits import constants
from caterva2.model import User
from caterva2.rest import media
from caterva2.rest.session import COOKIE
from caterva2.runtime.printable import printable
from caterva2.web import answers
from caterva2.web.middleware.running import Running
from caterva2.web.state import state_of, user_of

_COOKIE_IS = f"{COOKIE}=".encode()
_BEARER, _PREFIX = b"bearer", constants.TOKEN_PREFIX.encode()
_ADDRESS = 64
"""Characters of a client's address that are used: a proxy may send any text."""
_COOKIE_HEADER = 16 * 1024
"""Bytes of a Cookie header above which it is ignored."""
Headers = list[tuple[bytes, bytes]]
_VARY, _PRIVATE = (b"vary", b"Cookie, Authorization"), (b"cache-control", b"private")
CSP = b"content-security-policy"
PLAIN: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
]
STRICT = (CSP, b"default-src 'none'; frame-ancestors 'none'; sandbox")
"""For answers that are not pages: a browser that shows one runs and loads nothing."""


LINES = {
    (accounts, private): b"".join(
        [
            b"%b: %b\r\n" % header
            for header in [_VARY] * accounts + [_PRIVATE] * private + [*PLAIN, STRICT]
        ]
    )
    for accounts in (False, True)
    for private in (False, True)
}
"""Headers that are added to an answer that is no page, as they are sent: where there are accounts,
and to a user."""


class SecurityHeaders:
    """Add security headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message["headers"]
                own = {name for name, _ in given}
                added = [header for header in (*PLAIN, STRICT) if header[0] not in own]
                message["headers"] = [*given, *added]
            await send(message)

        await self._app(scope, receive, guarded)


class Sessions:
    """Find the user of each request, by its cookie or its API token.

    An API token may be the value of the cookie too, for programs that send nothing else. In
    ``Authorization`` it has to be valid; a cookie that is not means no user.

    Parameters
    ----------
    app : ASGIApp
    accounts : Accounts
    """

    def __init__(self, app: ASGIApp, accounts: Accounts) -> None:
        self._app = app
        self._accounts = accounts
        self._running = Running(accounts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token, named = token_of(value for name, value in scope["headers"] if name == b"cookie"), ""
        try:
            named = api_token_of(scope["headers"])
            user = await self._accounts.user_of(named or token) if named or token else None
            if named and user is None:
                raise LoginNeeded("this token is not valid, or not any more")
        except CatervaError as error:
            refusal = await answers.on_caterva_error(Request(scope), error)
            await refusal(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["user"], state["token"] = user, named or token
        expired = token != "" and user is None
        send = _add_headers(scope, send, user, expired)
        if user is None:
            await self._app(scope, receive, send)
        else:
            await self._while_it_lasts(scope, receive, send, named or token)

    async def _while_it_lasts(self, scope: Scope, receive: Receive, send: Send, token: str) -> None:
        """Answer a request of a user, until its session or token ends."""
        start: Message = {}

        async def noted(message: Message) -> None:
            nonlocal start
            start = message if message["type"] == "http.response.start" else start
            await send(message)

        task = self._running.add(token)
        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if not self._running.discard(task):
                raise  # the server ends
            await _end_early(scope, receive, send, start)
        finally:
            self._running.discard(task)


async def _end_early(scope: Scope, receive: Receive, send: Send, start: Message) -> None:
    """End a request whose session is over; a body of known length or format is cut off."""
    if not start:
        error = LoginNeeded("the session or the token ended meanwhile")
        refusal = await answers.on_caterva_error(Request(scope), error)
        await refusal(scope, receive, send)
    elif dict(start["headers"]).get(b"content-type", b"").startswith(media.EVENTS.encode()):
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _add_headers(scope: Scope, send: Send, user: User | None, expired: bool) -> Send:
    """Mark answers as private for caches, and remove the cookie of an expired session."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], _VARY]
            if user is not None:
                _add(headers, _PRIVATE)
            if expired:
                _add(headers, (b"set-cookie", _cookie(scope, "", 0).encode()))
            message["headers"] = headers
        await send(message)

    return send_with_headers


def _add(headers: Headers, header: tuple[bytes, bytes]) -> None:
    """Add a header to an answer that has none of this name."""
    for name, _ in headers:
        if name == header[0]:
            return
    headers.append(header)


def token_of(cookies: Iterable[bytes]) -> str:
    """Return the session token in the Cookie headers of a request; empty if there is none."""
    for value in cookies:
        if len(value) <= _COOKIE_HEADER:
            for pair in value.split(b";"):
                stripped: bytes = pair.strip()
                if stripped.startswith(_COOKIE_IS):
                    return stripped[len(_COOKIE_IS) :].strip(b'"').decode("latin-1")
    return ""


def api_token_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the API token in the header Authorization; empty if there is none."""
    for name, value in headers:
        if name == b"authorization":
            return api_token(value)
    return ""


def api_token(authorization: bytes) -> str:
    """Return the API token in the value of the header; empty if it has something else."""
    scheme, _, token = authorization.partition(b" ")
    token = token.strip(b" ")
    if scheme.lower() != _BEARER or not token.startswith(_PREFIX):
        return ""
    return token.decode("latin-1")


def _cookie(scope: Scope, token: str, seconds: int) -> str:
    made: http.cookies.SimpleCookie = http.cookies.SimpleCookie({COOKIE: token})
    made[COOKIE] |= {"path": "/", "httponly": True, "samesite": "lax", "max-age": seconds}
    made[COOKIE]["secure"] = scope["scheme"] == "https"
    return made[COOKIE].OutputString()


def begin(request: Request, token: str) -> Response:
    """Answer with the cookie of a new session."""
    seconds = int(state_of(request).limits.accounts.session)
    cookie = _cookie(request.scope, token, seconds)
    return Response(status_code=204, headers={"Set-Cookie": cookie, "Cache-Control": "no-store"})


def end(request: Request) -> Response:
    """Answer with a cookie that removes the one of the session."""
    return Response(status_code=204, headers={"Set-Cookie": _cookie(request.scope, "", 0)})


async def lasts(request: Request) -> bool:
    """Return whether a request's session still lasts: for answers without an end."""
    user, accounts = user_of(request), state_of(request).accounts
    if user is None or accounts is None:
        return True
    return await accounts.user_of(request.state.token) == user


def address_of(request: Request) -> str:
    """Return the address of a request's client, as a proxy gave it."""
    return printable(request.client.host[:_ADDRESS]) if request.client else "this machine"


def logged_in(request: Request, doing: str) -> User:
    """Return the user of a request.

    Raises
    ------
    LoginNeeded
        Without a session or a token. Where there are no accounts, the error says what would
        require one.
    """
    user = user_of(request)
    if user is None:
        accounts = state_of(request).accounts
        raise LoginNeeded("Unauthorized" if accounts else f"{doing} requires authentication")
    return user


def in_session(request: Request, doing: str) -> User:
    """Return the user of a request that has a session; `NotAllowed` with an API token."""
    user = logged_in(request, doing)
    if isinstance(user, TokenUser):
        raise NotAllowed(f"{doing} takes a session: a token may not do it")
    return user


def superuser(request: Request) -> User:
    """Return the superuser of a request, whose token, if it has one, may administer accounts."""
    user = logged_in(request, "Administering users")
    if not user.superuser:
        raise LoginNeeded("Unauthorized: only superusers may")
    if not scope_of(user).manage:
        raise NotAllowed("this token may not administer accounts")
    return user
