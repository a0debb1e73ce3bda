"""Connections: an address, and a pool of idle connections that threads and forks may share."""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.parse
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Self

from caterva2.client.errors import Unreachable
from caterva2.client.http.exchange import Connection, SecureConnection
from caterva2.limits import DEFAULTS, ClientLimits


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port, or a Unix socket; a path is a prefix of all URLs."""

    secure: bool
    host: str
    port: int | None
    prefix: str
    socket: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``http://HOST:PORT/PREFIX``, ``HOST:PORT`` or ``unix:/PATH``.

        Raises
        ------
        Unreachable
            If the text is anything else.
        """
        if text.startswith("unix:/"):
            return cls(False, "localhost", None, "", text.removeprefix("unix:"))
        try:
            parts = urllib.parse.urlsplit(text if "://" in text else f"http://{text}")
            port = parts.port
        except ValueError:
            raise Unreachable(f"{text!r} is not the URL of a subscriber") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unreachable(f"{text!r} is not the URL of a subscriber")
        return cls(parts.scheme == "https", parts.hostname, port, parts.path.rstrip("/"))

    @property
    def url(self) -> str:
        """Base of all URLs, in its canonical form."""
        if self.socket:
            return f"http+unix://{urllib.parse.quote(self.socket, safe='')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"http{'s' if self.secure else ''}://{host}{port}{self.prefix}"


class Connections:
    """A pool of connections.

    Parameters
    ----------
    address : Address
    timeout : float
        Seconds without any byte after which reading or writing fails.
    limits : ClientLimits
    """

    def __init__(
        self, address: Address, timeout: float, limits: ClientLimits = DEFAULTS.client
    ) -> None:
        self._address = address
        self._timeout = timeout
        self._limits = limits
        self._idle: deque[Connection] = deque()
        self._process = os.getpid()
        # Not __del__: at the end of the interpreter that runs when its modules are gone.
        weakref.finalize(self, _close_all, self._idle)

    def kept(self) -> Connection | None:
        """Take an idle connection, if there is one; the server may have closed it."""
        if self._process != os.getpid():
            self._process = os.getpid()
            _close_all(self._idle)  # this process's copies: the parent still uses its own
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        return None

    def new(self) -> Connection:
        """Connect.

        Raises
        ------
        Unreachable
        """
        address = self._address
        limit = min(self._limits.connect, self._timeout)
        connection: Connection
        if address.socket:
            connection = _UnixConnection(address.socket, limit)
        else:
            make = SecureConnection if address.secure else Connection
            connection = make(address.host, address.port, timeout=limit)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            where = f"unix:{address.socket}" if address.socket else address.url
            raise Unreachable(f"{where} can't be reached: {error}") from None
        if not address.socket:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock.settimeout(self._timeout)
        return connection

    def keep(self, connection: Connection) -> None:
        """Make a connection idle whose answer was read to its end, if there is room for it."""
        full = len(self._idle) >= self._limits.connections
        if full or connection.sock is None or self._process != os.getpid():
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections."""
        while connection := self.kept():
            connection.close()


def _close_all(idle: deque[Connection]) -> None:
    with contextlib.suppress(IndexError):
        while True:
            idle.pop().close()


class _UnixConnection(Connection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
