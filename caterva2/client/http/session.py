"""A login at a subscriber, which is made when it is needed and again when it is over."""

from __future__ import annotations

import http.client
import http.cookies
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from caterva2.rest.session import COOKIE

MARGIN_S = 60.0
"""Seconds before its end in which a session is not begun any more."""
Auth = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Token:
    """What shows that somebody has logged in; until when, by this machine's clock."""

    cookie: str
    until: float

    def __repr__(self) -> str:
        return "Token(...)"


NONE = Token("", 0.0)


def given(response: http.client.HTTPResponse) -> Token | None:
    """What an answer says of the session: a new token, `NONE` if it is over, or nothing."""
    for header in response.headers.get_all("Set-Cookie", []):
        try:
            cookie = http.cookies.SimpleCookie(header).get(COOKIE)
        except http.cookies.CookieError:
            continue
        if cookie is not None:
            age = cookie["max-age"]
            seconds = float(age) if age.isascii() and age.isdigit() else 0.0
            if not cookie.value:
                return NONE
            return Token(f"{COOKIE}={cookie.coded_value}", time.monotonic() + seconds - MARGIN_S)
    return None


class Session:
    """Who a client is to the subscriber.

    Parameters
    ----------
    auth : tuple of str
        Name and password. Nothing shows them.
    log_in : callable
        Gets a token for them.
    """

    def __init__(self, auth: Auth, log_in: Callable[[str, str], Token]) -> None:
        self.auth = auth
        self._log_in = log_in
        self._token = NONE
        self._lock = threading.Lock()
        self._process = os.getpid()

    def token(self, old: Token = NONE) -> Token:
        """The token to send; a new one if there is none, or none but the one that is over."""
        if self._process != os.getpid():  # whoever held the lock is not in this process
            self._lock, self._process = threading.Lock(), os.getpid()
        with self._lock:
            if self._token in (NONE, old) or time.monotonic() > self._token.until:
                self._token = NONE
                self._token = self._log_in(*self.auth)
            return self._token

    @property
    def begun(self) -> bool:
        return self._token is not NONE

    def keep(self, response: http.client.HTTPResponse, auth: Auth) -> None:
        """Go on with the token of an answer, and with this name and password for the next one."""
        self._token, self.auth = given(response) or NONE, auth

    def end(self) -> None:
        """The token is over."""
        self._token = NONE
