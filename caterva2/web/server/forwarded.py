"""What a proxy says of the requests that it passes on: of whom, by which scheme, for which host."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from caterva2.errors import ConfigError

UNIX = "unix"
_NAMES = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_HOPS = 32
"""Addresses of a header that are looked at, from its end."""
_LENGTH = 64
"""Characters of an address that are used."""


class Proxies:
    """The proxies that are believed.

    Parameters
    ----------
    given : iterable of str
        Addresses or networks, or ``unix`` for programs that connect to a Unix socket.

    Raises
    ------
    ConfigError
        If one is neither.
    """

    def __init__(self, given: Iterable[str]) -> None:
        texts = list(given)
        try:
            self._networks = [ipaddress.ip_network(text) for text in texts if text != UNIX]
        except ValueError as error:
            raise ConfigError(f"[subscriber] proxy: {error}") from None
        self._unix = UNIX in texts

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def trusts(self, host: str | None) -> bool:
        """Return whether a peer is one of them; None is the peer at a Unix socket."""
        if host is None:
            return self._unix
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)


class Forwarded:
    """Let the headers of a proxy replace client, scheme and host of a request.

    Headers of anybody else mean nothing: any client could write them.

    Parameters
    ----------
    app : ASGIApp
    proxies : Proxies
    """

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._proxies.trusts(_peer(scope)):
            scope = self._forwarded(scope)
        await self._app(scope, receive, send)

    def _forwarded(self, scope: Scope) -> Scope:
        said = {name: value for name, value in scope["headers"] if name in _NAMES}
        if not said:
            return scope
        scope = dict(scope)
        hops = [
            value.decode("latin-1")
            for name, value in scope["headers"] if name == b"x-forwarded-for"
        ]  # fmt: skip
        if client := self._client(",".join(hops)):
            scope["client"] = (client, 0)
        scheme = said.get(b"x-forwarded-proto", b"").strip().lower()
        if scheme in (b"http", b"https"):
            scope["scheme"] = scheme.decode()
        if host := said.get(b"x-forwarded-host"):
            kept = [header for header in scope["headers"] if header[0] != b"host"]
            scope["headers"] = [*kept, (b"host", host)]
        return scope

    def _client(self, hops: str) -> str:
        """Return the last address that none of the proxies has: what is before it may be forged."""
        client = ""
        for hop in reversed(hops.rsplit(",", _HOPS)[-_HOPS:]):
            if not hop.strip():
                break
            client = hop.strip()[:_LENGTH]
            if not self._proxies.trusts(client):
                break
        return client


def _peer(scope: Scope) -> str | None:
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else None
