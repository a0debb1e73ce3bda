"""Token: the cookie that proves a login."""

from __future__ import annotations

import http.cookies
import time
from dataclasses import dataclass
from email.message import Message

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
