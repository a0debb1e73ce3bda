"""HTTP requests as the client needs them: kept-alive connections, bodies read into one buffer.

``http.client`` reads a large body into a buffer of ours about five times as fast as httpx does,
and answers small requests twice as often.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import urllib.parse
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from caterva2 import __version__
from caterva2.errors import CatervaError

TIMEOUT = 60.0
"""Seconds without any byte from the subscriber after which a request fails."""
MAX_BODY = 2**40
_PIECE = 2**20


class Unreachable(CatervaError):
    """The subscriber can't be reached, or broke off."""

    code, name, status = 503, "unreachable", 503


class HttpError(CatervaError):
    """The subscriber said no.

    Attributes
    ----------
    status_code : int
        HTTP status.
    detail : str
        The subscriber's reason.
    """

    def __init__(self, status_code: int, reason: str, detail: str) -> None:
        super().__init__(f"{status_code} {reason}: {detail}")
        self.status_code = status_code
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Answer:
    """Headers and body of a successful answer."""

    headers: Mapping[str, str]
    body: bytearray

    def json(self) -> Any:
        return json.loads(self.body)


class Transport:
    """Connections to one subscriber; usable from several threads at once.

    Parameters
    ----------
    urlbase : str
        Such as ``http://localhost:8002``; a path in it is a prefix.
    timeout : float
        Seconds without any byte after which a request fails.
    """

    def __init__(self, urlbase: str, timeout: float = TIMEOUT) -> None:
        parts = urllib.parse.urlsplit(urlbase if "://" in urlbase else f"http://{urlbase}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unreachable(f"{urlbase!r} is not the URL of a subscriber")
        self.urlbase = urllib.parse.urlunsplit(parts).rstrip("/")
        self._parts = parts
        self._timeout = timeout
        self._idle: deque[http.client.HTTPConnection] = deque()

    def close(self) -> None:
        """Close the connections that are kept; the next request makes a new one."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        if hasattr(self, "_idle"):
            self.close()

    def url(self, path: str) -> str:
        """The whole URL of a path below the base."""
        return f"{self.urlbase}/{quote(path)}"

    def request(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Send a request and read the whole answer.

        Raises
        ------
        HttpError
            If the status is not a success.
        Unreachable
            If there was no answer.
        """
        with self.stream(method, path, query) as response:
            return Answer(dict(response.headers.items()), self._body(response))

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; the answer's body is the caller's to read."""
        target = f"{self._parts.path.rstrip('/')}/{quote(path)}"
        if query:
            target += "?" + urllib.parse.urlencode(query)
        connection, response = self._send(method, target, headers or {})
        try:
            if response.status >= 300:
                raise self._error(response)
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.urlbase} broke off: {error}") from None
        finally:
            if response.isclosed() and connection.sock is not None:
                self._idle.append(connection)
            else:  # the rest of the body is still on the connection
                connection.close()

    def _send(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send on the kept connection; once more on a new one if the server had closed it."""
        given = {"User-Agent": f"caterva2/{__version__}", **headers}
        kept = self._idle.pop() if self._idle else None
        for connection in (kept, None):
            if connection is None:
                connection = self._connect()
            try:
                connection.request(method, target, headers=given)
                return connection, connection.getresponse()
            except (ConnectionError, http.client.BadStatusLine) as error:
                connection.close()
                if connection is not kept or method not in ("GET", "HEAD"):
                    raise Unreachable(f"{self.urlbase} broke off: {error}") from None
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise Unreachable(f"{self.urlbase} does not answer: {error}") from None
        raise AssertionError("unreachable")

    def _connect(self) -> http.client.HTTPConnection:
        secure = self._parts.scheme == "https"
        make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = make(self._parts.hostname or "", self._parts.port, timeout=self._timeout)
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(f"{self.urlbase} can't be reached: {error}") from None
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _body(self, response: http.client.HTTPResponse) -> bytearray:
        length = response.length
        if length is None:
            return bytearray(response.read())
        if length > MAX_BODY:
            raise Unreachable(f"{self.urlbase} announces a body of {length} bytes")
        body = bytearray(length)
        view, at = memoryview(body), 0
        while at < length:
            count = response.readinto(view[at : at + 16 * _PIECE])
            if not count:
                raise Unreachable(f"{self.urlbase} broke off after {at} of {length} bytes")
            at += count
        response.close()
        return body

    def _error(self, response: http.client.HTTPResponse) -> HttpError:
        body = response.read(_PIECE)
        try:
            detail = json.loads(body)["detail"]
        except (ValueError, KeyError, TypeError):
            detail = body[:200].decode("utf-8", "replace")
        return HttpError(response.status, response.reason, str(detail))


def quote(path: str) -> str:
    """A path as it stands in a URL."""
    return urllib.parse.quote(path, safe="/@")
