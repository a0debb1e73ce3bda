"""Where publishers may be: subscribers connect to addresses that others announce."""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from collections.abc import Iterable

from caterva2.errors import ConfigError, NotAllowed, RootOffline

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
"""The last part of a host that resolvers take for an address, however it is written."""
_KNOWN = 1024
"""Addresses of peers of which it is known whether they are this machine's: each message asks."""
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


class Networks:
    """The networks, addresses and names that publishers may have.

    Parameters
    ----------
    allowed : iterable of str
        Such as ``10.0.0.0/8`` or ``data.example``; any without one.

    Raises
    ------
    ConfigError
        If one of them is neither.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._names: set[str] = set()
        for text in allowed:
            try:
                self._networks.append(ipaddress.ip_network(text))
            except ValueError:
                if not _NAME.fullmatch(text) or _is_number(text):
                    raise ConfigError(
                        f"publishers: {text!r} is neither a network such as 10.0.0.0/8 nor a name"
                    ) from None
                self._names.add(text.lower())

    def refusal(self, endpoint: str, near: bool) -> str:
        """Return why nothing should connect to an endpoint; empty if it may be.

        Parameters
        ----------
        endpoint : str
            As in a message.
        near : bool
            Whether what announces it is on this machine.
        """
        host = endpoint.removeprefix("tcp://").rpartition(":")[0]
        address = _address(host)
        if address is None and (host == "*" or _is_number(host)):
            return "it is no address that others could connect to"
        if host.lower() == "localhost":
            address = _address("127.0.0.1")
        if address is not None and (why := _refusal(address, near)):
            return why
        if self._allows(host, address):
            return ""
        return "it is not in the setting publishers"

    def located(self, endpoint: str, near: bool) -> str:
        """Return an endpoint with the address in place of a name. Blocks.

        The addresses of a name are checked, since the announcing peer may own the name. One that
        `publishers` has stands for any address.

        Raises
        ------
        RootOffline
            If there is no address for the name, or none that may be connected to.
        """
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        if _address(host) is not None or host.lower() in self._names:
            return endpoint
        try:
            found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise RootOffline(f"no address is found for {host}: {error}") from None
        for address in dict.fromkeys(str(one[4][0]) for one in found):
            why = _refusal(ipaddress.ip_address(address), near)
            if not why:
                return f"tcp://{address}:{port}"
        raise RootOffline(f"{host} stands for {found[0][4][0]}: {why}")

    def refuse(self, root: str, endpoints: Iterable[str], near: bool) -> None:
        """Raise `NotAllowed` if nothing should connect to an endpoint of a root."""
        for endpoint in endpoints:
            if why := self.refusal(endpoint, near):
                raise NotAllowed(f"root {root} can't be at {endpoint}: {why}")

    def _allows(self, host: str, address: _IP | None) -> bool:
        if not self._networks and not self._names:
            return True
        if address is None:
            return host.lower() in self._names
        return any(address in network for network in self._networks)


def _refusal(address: _IP, near: bool) -> str:
    """Return why nothing should connect to an address, whatever the settings say."""
    if address.is_unspecified or address.is_multicast:
        return "it is no address of one machine"
    if address.is_link_local:
        return "it is a link-local address"
    if address.is_loopback and not near:
        return "it is the other machine's own: say with advertise how others reach it"
    return ""


@functools.lru_cache(_KNOWN)
def is_loopback(address: str) -> bool:
    """Return whether a peer's network address is this machine's own; False if it is not known."""
    found = _address(address)
    return found is not None and found.is_loopback


def _address(host: str) -> _IP | None:
    try:
        found = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_number(host: str) -> bool:
    last = host.removesuffix(".").rpartition(".")[2]
    return _NUMBER.fullmatch(last) is not None


ANYWHERE = Networks()
