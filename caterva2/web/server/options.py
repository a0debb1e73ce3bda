"""How an HTTP server is reached: its hosts, the proxies in front of it, its prefix, and TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from caterva2.errors import ConfigError
from caterva2.web.server.forwarded import Proxies
from caterva2.web.server.hosts import AnyHost, Hosts, Served, is_address
from caterva2.web.server.prefix import NO_PREFIX, Prefix


class Certificate:
    """A certificate with its key, which can be loaded again while a server uses it.

    Parameters
    ----------
    certfile : str
        PEM: the certificate, and those that lead to its authority.
    keyfile : str
        PEM, not encrypted; empty if the key is in ``certfile`` too.

    Raises
    ------
    ConfigError
        If these can't be used.
    """

    def __init__(self, certfile: str, keyfile: str) -> None:
        self._files = certfile, keyfile or None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.load()

    def load(self) -> None:
        """Load the files for the connections that follow."""
        names = " and ".join(filter(None, self._files))
        try:
            # The password of an encrypted key would be asked for at a terminal.
            self.context.load_cert_chain(*self._files, password=lambda: b"")
        except ssl.SSLError as error:
            why = error.reason or "this is no certificate with its key in PEM"
            raise ConfigError(f"ssl: {names} can't be used: {why}") from None
        except OSError as error:
            raise ConfigError(f"ssl: {names} can't be read: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How an HTTP server is reached."""

    hosts: Served = field(default_factory=AnyHost)
    proxies: Proxies = field(default_factory=lambda: Proxies(()))
    certificate: Certificate | None = None
    prefix: Prefix = field(default=NO_PREFIX)

    @classmethod
    def of(
        cls,
        address: str,
        hosts: Iterable[str],
        proxies: Iterable[str],
        certfile: str,
        keyfile: str,
        prefix: Prefix = NO_PREFIX,
    ) -> Self:
        """Return the options for these settings; `ConfigError` if one of them can't be used."""
        if keyfile and not certfile:
            raise ConfigError("ssl: there is a key, and no certificate (ssl_certfile)")
        bound = "" if "/" in address else address.rpartition(":")[0].strip("[]")
        names = [bound] if bound and not is_address(bound) else []
        trusted = Proxies(proxies)
        certificate = Certificate(certfile, keyfile) if certfile else None
        return cls(Hosts([*names, *hosts], bool(trusted)), trusted, certificate, prefix)
