"""Which providers the settings prefer. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from caterva2.errors import ConfigError
from caterva2.model import MirrorInfo

PUBLISHER = "publisher"
"""Stands for the publisher itself."""
MOST = 64
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\]:[0-9]{1,5}")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Preferences:
    """An order of providers.

    Parameters
    ----------
    given : sequence of str
        The best first: ``publisher``, names of mirrors, ``HOST:PORT``, hosts, and networks such
        as ``10.0.0.0/8``.

    Raises
    ------
    ConfigError
        If one of them is none of these, or there are too many.
    """

    def __init__(self, given: Sequence[str] = ()) -> None:
        if len(given) > MOST:
            raise ConfigError(f"prefer: {len(given)} are more than {MOST}")
        self._given = [_parsed(text) for text in given]

    def rank(self, name: str, place: str) -> int:
        """Return the position of a provider: that after the last one if it has none.

        Parameters
        ----------
        name : str
            Of the mirror; empty of the publisher.
        place : str
            ``HOST:PORT``.
        """
        host = place.rpartition(":")[0].strip("[]").lower()
        words = {(name or PUBLISHER).lower(), place.lower(), host}
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            address = None
        for n, one in enumerate(self._given):
            if one in words if isinstance(one, str) else address is not None and address in one:
                return n
        return len(self._given)

    def name(self, mirror: MirrorInfo) -> bool:
        """Return whether a mirror is one of them."""
        place = mirror.endpoint.partition("://")[2]
        return self.rank(mirror.mirror, place) < len(self._given)


ANY = Preferences()
"""None is preferred."""


def _parsed(text: str) -> str | _Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        if not _WORD.fullmatch(text):
            raise ConfigError(
                f"prefer: {text[:80]!r} is neither publisher, a mirror, HOST:PORT, a host nor a"
                " network such as 10.0.0.0/8"
            ) from None
        return text.lower()
