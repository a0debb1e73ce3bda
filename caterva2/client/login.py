"""Login: requests made as a user, who is logged in when needed and again when that is over."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import urllib.parse
from dataclasses import replace
from typing import Self

from caterva2.client.errors import HttpError, LoginFailed, SessionOver, Unreachable
from caterva2.client.http.connections import Address
from caterva2.client.session import NONE, Session, Token, token_of
from caterva2.client.transport import Request, Response, Transport
from caterva2.client.types import Auth
from caterva2.errors import CatervaError, LoginNeeded
from caterva2.rest import media, paths
from caterva2.rest.paths import relative

USERNAME, PASSWORD, URL = "CATERVA2_USERNAME", "CATERVA2_PASSWORD", "CATERVA2_URL"
"""The user of the environment, their password, and the only subscriber that gets it."""
_ANSWER = 2**20  # bytes of an answer to a login that are read, to keep the connection


class SessionTransport(Transport):
    """A transport that adds a user's token to what another one sends.

    A request that is refused because the session has ended is sent again after a new login. A
    repeatable one that was answered without the session is, too.

    Parameters
    ----------
    inner : Transport
    auth : tuple of str
    """

    def __init__(self, inner: Transport, auth: Auth) -> None:
        self._inner = inner
        self.urlbase = inner.urlbase
        self.limits = inner.limits
        self.session: Session = Session(auth, self._log_in)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the name of the user, but neither the password nor the token."""
        return (type(self), (self._inner, (self.session.auth[0], "")))

    def __deepcopy__(self, _: object) -> Self:
        return self  # the login stays with a copy in this process

    def url(self, path: str) -> str:
        return self._inner.url(path)

    def exchange(self, request: Request) -> Response:
        return self._inner.exchange(_signed(request, self.session.token()))

    def close(self) -> None:
        self._inner.close()

    def send(self, request: Request) -> Response:
        token = self.session.token()
        with contextlib.suppress(SessionOver):
            response = self._inner.send(_signed(request, token))
            if token_of(response.headers) is not NONE or not request.repeatable:
                return response
            response.close()
        return self._inner.send(_signed(request, self.session.token(old=token)))

    def _log_in(self, user: str, password: str, old: Token) -> Token:
        if password:
            return _logged_in(self._inner, user, password)
        shared = _of_process(self._inner, user, _password_of(user, self.urlbase))
        return shared.token(old)


@functools.lru_cache(maxsize=16)
def _of_process(inner: Transport, user: str, password: str) -> Session:
    """Return the session of all clients of a user that were unpickled in this process."""
    return Session((user, password), lambda name, word, _: _logged_in(inner, name, word))


def _logged_in(inner: Transport, user: str, password: str) -> Token:
    """Log in, and return the token.

    Raises
    ------
    LoginFailed
    """
    body = urllib.parse.urlencode({"username": user, "password": password}).encode()
    headers = {"Content-Type": media.FORM}
    try:
        response = inner.send(Request("POST", relative(paths.LOGIN), headers=headers, body=body))
    except HttpError as error:
        why = {400: f"wrong name or password for {user}", 404: "it has no accounts"}
        detail = why.get(error.status_code, error.detail)
        raise LoginFailed(
            error.status_code, error.reason, f"login at {inner.urlbase}: {detail}",
            error.kind, error.put_off,
        ) from None  # fmt: skip
    with response:
        token = token_of(response.headers)
        response.read(_ANSWER)
    if token is None or token is NONE:
        raise Unreachable(f"{inner.urlbase} answered a login without a session cookie")
    return token


def of_environment(urlbase: str) -> Auth | None:
    """Return the name and password of the environment, if they are for this subscriber."""
    where = os.environ.get(URL)
    if where is None or Address.parse(where) != Address.parse(urlbase):
        return None
    user, password = os.environ.get(USERNAME, ""), os.environ.get(PASSWORD, "")
    return (user, password) if user and password else None


def _password_of(user: str, urlbase: str) -> str:
    """Return the password of a user whose client was pickled."""
    name, password = of_environment(urlbase) or ("", "")
    if name != user:
        raise LoginNeeded(
            f"no password for {user} at {urlbase}: a client is pickled without it; set {URL}, "
            f"{USERNAME} and {PASSWORD} in the environment of this process, or call "
            "login(password) first"
        )
    return password


def _signed(request: Request, token: Token) -> Request:
    return replace(request, headers={**request.headers, "Cookie": token.cookie})


def log_out(transport: Transport) -> None:
    """End the session, if there is one; the next request begins another."""
    session = transport.session
    if session is not None and session.begun:
        with contextlib.suppress(CatervaError):  # an unreachable subscriber ends it by itself
            transport.request("POST", relative(paths.LOGOUT))
        session.end()


def change_password(transport: Transport, password: str) -> None:
    """Set another password for the user; all other sessions end."""
    session = transport.user()
    user, old = session.auth
    body = json.dumps({"password": old, "new_password": password}).encode()
    with transport.stream("POST", relative(paths.CHANGE_PASSWORD), body=body) as response:
        session.keep(response.headers, (user, password))
