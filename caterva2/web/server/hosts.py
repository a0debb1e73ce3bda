"""The hosts by whose names a server is asked, against pages of others that take its address.

A page of ``evil.example`` may let this name lead to a subscriber (DNS rebinding): for a browser,
what it answers is of that page's own site then. The page can't change the ``Host`` that the browser
sends, which is a name that the subscriber does not have.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Iterable
from typing import Protocol

from caterva2.errors import ConfigError
from caterva2.runtime.lru import Lru

log = logging.getLogger(__name__)
_HEADER = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_PATTERN = re.compile(r"\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_KNOWN, _LENGTH = 64, 512
_HOST, _FORWARDED = b"host", b"x-forwarded-host"
Refusal = tuple[int, str, str]
"""HTTP status, name and detail of an error."""


class Served(Protocol):
    """The contract of what says by which hosts a server may be asked."""

    def refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
        """Return why a request with these headers is refused; None if it is not."""
        ...


class AnyHost:
    """Null object: serves requests whatever their host is."""

    def refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
        """Return None."""


class Hosts:
    """Names of a server: this machine's, and those of the settings.

    An address of IP is always served: only names can be made to lead elsewhere.

    Parameters
    ----------
    names : iterable of str
        ``data.example``, ``*.example`` for all names below it, or ``*`` for any.
    forwarded : bool
        Whether a proxy may say in ``X-Forwarded-Host`` which host it was asked for.

    Raises
    ------
    ConfigError
        If a name is none.

    Attributes
    ----------
    given : tuple
        Both parameters, to make another one like this.
    """

    def __init__(self, names: Iterable[str], forwarded: bool = False) -> None:
        given = [name.lower().rstrip(".") for name in names]
        self.given = given, forwarded
        for name in given:
            if not _PATTERN.fullmatch(name):
                raise ConfigError(
                    f"[subscriber] hosts: {name!r} is not a name such as data.example, without "
                    "a scheme and a port"
                )
        self._any = "*" in given
        self._below = tuple(name[1:] for name in given if name.startswith("*."))
        self._names = {"localhost", socket.gethostname().lower(), *given}
        self._read = (_HOST, _FORWARDED) if forwarded else (_HOST,)
        self._known: Lru[bytes, Refusal | None] = Lru(_KNOWN)
        self._warned = False

    def refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
        """Return why a request with these headers is refused; None if it is not."""
        seen = b""
        for name, value in headers:
            if name in self._read:
                if name == _HOST and seen:
                    return 400, "bad-request", "the request has two Host headers"
                seen = value if name == _HOST else seen
                refusal = self._of(value)
                if refusal is not None:
                    return refusal
        return None

    def _of(self, header: bytes) -> Refusal | None:
        if header in self._known:
            return self._known.get(header)
        refusal = self._judged(header)
        self._known.put(header[:_LENGTH], refusal)
        if refusal is not None and not self._warned:
            self._warned = True  # once: anybody may send many
            log.warning("refused a request for another host: %s", refusal[2])
        return refusal

    def _judged(self, header: bytes) -> Refusal | None:
        found = _HEADER.fullmatch(header)
        if not header:
            return None  # not of a browser, which always has a host
        if found is None:
            return 400, "bad-request", "the Host of the request is not a host"
        name = found[1].decode().lower().rstrip(".")
        if self._any or name in self._names or name.endswith((".localhost", *self._below)):
            return None
        if is_address(name):
            return None
        return 421, "misdirected", (
            f"this subscriber is not known as {name}: if it should be, add the name to the setting "
            "hosts of [subscriber]"
        )  # fmt: skip


def is_address(name: str) -> bool:
    """Return whether a host is an address of IP, and not a name."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
