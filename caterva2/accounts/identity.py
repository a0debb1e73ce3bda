"""Validated e-mail addresses and passwords."""

from __future__ import annotations

import re
from typing import Self

from caterva2.errors import BadAccount
from caterva2.limits import constants

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_EMAIL = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")


class Email(str):
    """A user's e-mail address, in lower case: addresses are compared without case.

    Raises
    ------
    BadAccount
        If the text is not an address. The message does not repeat it: it may be a password.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        lower = text.lower() if text.isascii() and len(text) <= constants.EMAIL_LENGTH else ""
        if not _EMAIL.fullmatch(lower):
            raise BadAccount("not an e-mail address: write NAME@DOMAIN in ASCII")
        return super().__new__(cls, lower)


class Password:
    """A new password of allowed length; never shown.

    Raises
    ------
    BadAccount
        If it is too short, too long, or not Unicode.
    """

    __slots__ = ("bytes",)

    def __init__(self, text: str) -> None:
        if len(text) < constants.PASSWORD_LEAST:
            raise BadAccount(f"the password has less than {constants.PASSWORD_LEAST} characters")
        self.bytes = as_bytes(text)

    def __repr__(self) -> str:
        return "Password(...)"


def as_bytes(text: str) -> bytes:
    """Encode a password, of any length up to the maximum, for hashing."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise BadAccount("the password is not valid Unicode") from None
    if len(data) > constants.PASSWORD_BYTES:
        raise BadAccount(f"the password has more than {constants.PASSWORD_BYTES} bytes")
    return data
