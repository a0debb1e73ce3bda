"""HttpTransport: requests over HTTP, on connections that are kept open.

``http.client`` reads a large body into a given buffer about five times as fast as httpx does,
and answers twice as many small requests.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import socket

from caterva2.client.errors import Unreachable
from caterva2.client.http.connections import Address, Connections
from caterva2.client.http.exchange import Connection
from caterva2.client.transport import Request, Response, Transport, quote
from caterva2.limits import DEFAULTS, ClientLimits
from caterva2.version import __version__

TIMEOUT = 60.0
"""Seconds without any byte from the subscriber after which a request fails."""
_OWN_HEADERS = {"User-Agent": f"caterva2/{__version__}"}
_BROKEN = (OSError, http.client.HTTPException)


class HttpTransport(Transport):
    """Requests to one subscriber over HTTP.

    Parameters
    ----------
    urlbase : str
        Such as ``http://localhost:8002``; a path in it is a prefix. ``unix:/PATH`` is a Unix
        socket.
    timeout : float
        Seconds without any byte after which a request fails.
    limits : ClientLimits
    """

    def __init__(
        self, urlbase: str, timeout: float = TIMEOUT, limits: ClientLimits = DEFAULTS.client
    ) -> None:
        self._address = Address.parse(urlbase)
        self.urlbase = urlbase if self._address.socket else self._address.url
        self.limits = limits
        self._timeout = timeout
        self._connections = Connections(self._address, timeout, limits)

    def __reduce__(self) -> tuple[object, ...]:
        """Share the connections of a process among all that is unpickled in it."""
        return (of_process, (self.urlbase, self._timeout, self.limits))

    def url(self, path: str) -> str:
        return f"{self._address.url}/{quote(path)}"

    def close(self) -> None:
        self._connections.close()

    def exchange(self, request: Request) -> Response:
        """Send on a kept connection; once more on a new one if the server had closed it."""
        target = self._address.prefix + request.target
        headers = {**_OWN_HEADERS, **request.headers}
        kept = self._connections.kept() if request.repeatable else None
        for connection in (kept, None):
            if connection is None:
                connection = self._connections.new()
            try:
                raw = connection.exchange(request.method, target, headers, request.body)
                return HttpResponse(raw, connection, self._connections)
            except (ConnectionError, http.client.BadStatusLine) as error:
                connection.close()
                if connection is not kept:
                    raise Unreachable(f"{self.urlbase} closed the connection: {error}") from None
            except _BROKEN as error:
                connection.close()
                raise Unreachable(f"{self.urlbase} does not answer: {error}") from None
            except BaseException:  # of what makes the body, or an interruption
                connection.close()
                raise
        raise AssertionError("unreachable")


@functools.lru_cache(maxsize=16)
def of_process(
    urlbase: str, timeout: float = TIMEOUT, limits: ClientLimits = DEFAULTS.client
) -> HttpTransport:
    """Return a transport that this process keeps.

    Each task of a computation is handed objects of its own, and would make a connection for these.
    """
    return HttpTransport(urlbase, timeout, limits)


class HttpResponse(Response):
    """An answer over HTTP.

    Attributes
    ----------
    raw : http.client.HTTPResponse
        For what the contract does not have, such as lines of an endless body.
    """

    __slots__ = ("_connection", "_connections", "raw")

    def __init__(
        self, raw: http.client.HTTPResponse, connection: Connection, connections: Connections
    ) -> None:
        self.raw = raw
        self._connection: Connection | None = connection
        self._connections = connections
        self.status, self.reason = raw.status, raw.reason
        self.headers, self.length = raw.headers, raw.length

    def read(self, size: int = -1) -> bytes:
        try:
            return self.raw.read(size) if size >= 0 else self.raw.read()
        except _BROKEN as error:
            raise Unreachable(f"the connection broke: {error}") from None

    def readinto(self, buffer: memoryview) -> int:
        try:
            return self.raw.readinto(buffer)
        except _BROKEN as error:
            raise Unreachable(f"the connection broke: {error}") from None

    def interrupt(self) -> None:
        """End a read of the body in which another thread waits."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self.raw.length == 0:  # an empty body is at its end before it is read
            self.raw.close()
        if self.raw.isclosed():
            self._connections.keep(connection)
        else:
            self.raw.close()  # or the socket would stay open until this is collected
            connection.close()
