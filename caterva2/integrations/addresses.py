"""Addresses: what ``cat2://HOST:PORT/ROOT/PATH`` names, and a client for it."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass
from typing import Self

from caterva2.client import login
from caterva2.client.client import DEFAULT_URL, Client
from caterva2.client.types import Auth
from caterva2.errors import BadName
from caterva2.runtime.printable import printable

SCHEMES = {"cat2": "http", "cat2s": "https"}


@dataclass(frozen=True, slots=True)
class Address:
    """A path at a subscriber.

    Parameters
    ----------
    urlbase : str
        The subscriber.
    path : str
        With the root; empty for all roots.
    """

    urlbase: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``cat2://HOST:PORT/ROOT/PATH``, or ``cat2s://`` for TLS.

        Without a host, as in ``cat2:///ROOT/PATH``, it is the subscriber of ``CATERVA2_URL``, or
        this machine's. The path is taken as it stands: nothing of it is quoted.

        Raises
        ------
        BadName
        """
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in SCHEMES:
            raise BadName(f"{printable(text)} is no URL of the form cat2://HOST:PORT/ROOT/PATH")
        host, _, path = rest.partition("/")
        path = path.strip("/")
        if not host:
            return cls(os.environ.get(login.URL) or DEFAULT_URL, path)
        if "@" in host:
            raise BadName("a cat2:// URL has no user and no password: give auth=(user, password)")
        urlbase = f"{SCHEMES[scheme]}://{host}"
        try:
            parts = urllib.parse.urlsplit(urlbase)
            valid = parts.hostname is not None and (parts.port is None or parts.port > 0)
        except ValueError:
            valid = False
        if not valid or any(letter in host for letter in "?# \\"):
            raise BadName(f"{printable(text)} has no valid host and port")
        return cls(urlbase, path)


def is_address(text: object) -> bool:
    """Whether something is a URL of this kind."""
    return isinstance(text, str) and text.partition("://")[0] in SCHEMES and "://" in text


def client_of(urlbase: str, auth: Auth | None = None) -> Client:
    """Make a client, which logs in as ``auth`` or the user of the environment, if any.

    The environment's password is only for the subscriber of ``CATERVA2_URL``.
    """
    return Client(urlbase, auth or login.of_environment(urlbase))
