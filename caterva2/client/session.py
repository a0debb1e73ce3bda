"""Session: the login of a user, and the cookie that proves it."""

from __future__ import annotations

import http.cookies
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message

from caterva2.client.types import Auth
from caterva2.rest.session import COOKIE

_MARGIN = 60.0  # seconds before its end from which a token is not sent any more


@dataclass(frozen=True, slots=True)
class Token:
    """A ``Cookie`` header, and until when it is valid by this machine's monotonic clock."""

    cookie: str
    until: float

    def __repr__(self) -> str:
        return "Token(...)"


NONE = Token("", 0.0)
LogIn = Callable[[str, str, Token], Token]


def token_of(headers: Message) -> Token | None:
    """Return the token that an answer sets, `NONE` if it ends the session, None if neither."""
    for header in headers.get_all("Set-Cookie", []):
        try:
            cookie = http.cookies.SimpleCookie(header).get(COOKIE)
        except http.cookies.CookieError:
            continue
        if cookie is not None:
            age = cookie["max-age"]
            seconds = float(age) if age.isascii() and age.isdigit() else 0.0
            if not cookie.value:
                return NONE
            return Token(f"{COOKIE}={cookie.coded_value}", time.monotonic() + seconds - _MARGIN)
    return None


class Session:
    """The login of a user.

    Parameters
    ----------
    auth : tuple of str
        Name and password. Neither ``repr`` nor an error shows the password.
    log_in : callable
        Gets a token for them, which is not the given one, as that has ended.
    """

    def __init__(self, auth: Auth, log_in: LogIn) -> None:
        self.auth = auth
        self._log_in = log_in
        self._token = NONE
        self._lock = threading.Lock()
        self._process = os.getpid()

    def token(self, old: Token = NONE) -> Token:
        """Return the token to send; log in if there is none, or only ``old``, which has ended."""
        if self._process != os.getpid():  # a thread of the parent may have held the lock
            self._lock, self._process = threading.Lock(), os.getpid()
        with self._lock:
            if self._token in (NONE, old) or time.monotonic() > self._token.until:
                self._token = NONE
                self._token = self._log_in(*self.auth, old)
            return self._token

    def restart(self, password: str) -> Token:
        """Log in with this password from now on."""
        self.auth, self._token = (self.auth[0], password), NONE
        return self.token()

    @property
    def begun(self) -> bool:
        """Whether there is a token."""
        return self._token is not NONE

    def keep(self, headers: Message, auth: Auth) -> None:
        """Take the token of an answer, and the name and password for the next login."""
        self._token, self.auth = token_of(headers) or NONE, auth

    def end(self) -> None:
        """Forget the token."""
        self._token = NONE
