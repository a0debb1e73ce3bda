"""HTTP requests as the client needs them: bodies read into one buffer, and careful retries.

``http.client`` reads a large body into a buffer of ours about five times as fast as httpx does,
and answers small requests twice as often.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import itertools
import json
import random
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from caterva2.client.http.connections import Address, Connections, Unreachable
from caterva2.client.http.exchange import Body, Connection
from caterva2.client.http.session import NONE, Auth, Session, Token, given
from caterva2.errors import CatervaError, LoginNeeded
from caterva2.version import __version__

TIMEOUT = 60.0
"""Seconds without any byte from the subscriber after which a request fails."""
PATIENCE = 20.0
"""Seconds after which a request that was put off is not sent again."""
LONGEST_PAUSE = 5.0
TRIES = 5
MAX_BODY = 2**40
QUERY_LENGTH = 4_000
"""Encoded characters of a query, above which it goes into a body: proxies take 8 KB."""
_PIECE = 2**20
_REPEATABLE = ("GET", "HEAD", "DELETE")


class HttpError(CatervaError):
    """The subscriber said no.

    Attributes
    ----------
    status_code : int
        HTTP status.
    reason : str
        The status in words, such as ``Not Found``.
    detail : str
        What was wrong, in the subscriber's words.
    kind : str
        The same for programs, such as ``root-offline``.
    put_off : float or None
        Seconds after which another try may succeed.
    """

    def __init__(
        self,
        status_code: int,
        reason: str,
        detail: str,
        kind: str = "http",
        put_off: float | None = None,
    ) -> None:
        super().__init__(f"{status_code} {reason}: {detail}")
        self.status_code = status_code
        self.reason = reason
        self.detail = detail
        self.kind = kind
        self.put_off = put_off

    def __str__(self) -> str:
        return f"{self.status_code} {self.reason}: {self.detail}"

    def __reduce__(self) -> tuple[object, ...]:
        given = self.status_code, self.reason, self.detail, self.kind, self.put_off
        return (type(self), given)


class Missing(HttpError, KeyError):
    """404: there is no such root, directory or dataset."""


class LoginFailed(HttpError):
    """The name or password is wrong, or the subscriber has no accounts."""


class _SessionOver(HttpError):
    """Refused, and told that the session is over."""


class BadKey(HttpError, IndexError):
    """400: the dataset does not have what a key selects."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Headers and body of a successful answer; the headers' names in lower case."""

    headers: Mapping[str, str]
    body: bytearray

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise Unreachable(f"the answer is no JSON: {bytes(self.body[:80])!r}") from None


class Transport:
    """Requests to one subscriber; usable from several threads at once.

    A request is sent again if that can do no harm and the server had closed the kept
    connection, or asks by status 429 or 503 to come again later. It is not if the root is
    offline, which is told at once.

    Parameters
    ----------
    urlbase : str
        Such as ``http://localhost:8002``; a path in it is a prefix. ``unix:/PATH`` is a Unix
        socket.
    timeout : float
        Seconds without any byte after which a request fails.
    auth : tuple of str, optional
        Name and password.
    """

    def __init__(self, urlbase: str, timeout: float = TIMEOUT, auth: Auth | None = None) -> None:
        self._address = Address.parse(urlbase)
        self.session = None if auth is None else Session(auth, self._log_in)
        self.urlbase = urlbase if self._address.socket else self._address.url
        self._connections = Connections(self._address, timeout)

    def close(self) -> None:
        """Close the connections that are kept; the next request makes a new one."""
        self._connections.close()

    def __del__(self) -> None:
        if hasattr(self, "_connections"):
            self.close()

    def url(self, path: str) -> str:
        """The whole URL of a path below the base."""
        return f"{self._address.url}/{quote(path)}"

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        repeatable: bool = False,
    ) -> Answer:
        """Send a request and read the whole answer; the parameters are those of `stream`.

        Raises
        ------
        HttpError
            If the status is not a success.
        Unreachable
            If there was no answer.
        """
        with self.stream(method, path, query, headers, body, repeatable) as response:
            return self.answer(response)

    def answer(self, response: http.client.HTTPResponse) -> Answer:
        """Read the whole of an answer."""
        told = {name.lower(): value for name, value in response.headers.items()}
        return Answer(told, self._body(response))

    def ask(self, path: str, query: Mapping[str, str]) -> Answer:
        """Read something; what asks for it goes into a body if it is long."""
        with self.asking(path, query) as response:
            return self.answer(response)

    def asking(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> contextlib.AbstractContextManager[http.client.HTTPResponse]:
        """The same; the answer's body is the caller's to read."""
        encoded = _encoded(query)
        if len(encoded) <= QUERY_LENGTH:
            return self.stream("GET", path, encoded, headers)
        body = json.dumps(query).encode()
        return self.stream("POST", path, None, headers, body, repeatable=True)

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        repeatable: bool = False,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; the answer's body is the caller's to read.

        A ``query`` may be encoded already; ``body`` is JSON if ``headers`` do not say otherwise;
        ``repeatable`` says that sending it twice does no harm.
        """
        target = f"{self._address.prefix}/{quote(path)}"
        if query:
            target += "?" + (query if isinstance(query, str) else _encoded(query))
        sent = {"User-Agent": f"caterva2/{__version__}", **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        again = repeatable or method in _REPEATABLE
        connection, response = self._as_user(_Request(method, target, sent, body, again))
        try:
            yield response
        finally:
            self._done(connection, response)

    def user(self) -> Session:
        """The session of who has a name and a password; `LoginNeeded` for who has none."""
        if self.session is None:
            raise LoginNeeded("no user: the client was made without auth=(user, password)")
        return self.session

    def _log_in(self, user: str, password: str) -> Token:
        body = urllib.parse.urlencode({"username": user, "password": password}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        target = f"{self._address.prefix}/auth/jwt/login"
        try:
            connection, response = self._patiently(
                _Request("POST", target, headers, body, repeatable=False)
            )
        except HttpError as error:
            why = {400: f"wrong name or password for {user}", 404: "it has no accounts"}
            detail = why.get(error.status_code, error.detail)
            raise LoginFailed(
                error.status_code, error.reason, f"login at {self.urlbase}: {detail}",
                error.kind, error.put_off,
            ) from None  # fmt: skip
        token = given(response)
        response.read(_PIECE)
        self._done(connection, response)
        if token is None or token is NONE:
            raise Unreachable(f"{self.urlbase} answered a login without the cookie of a session")
        return token

    def _as_user(self, wanted: _Request) -> tuple[Connection, http.client.HTTPResponse]:
        """The answer to a request of who has logged in; again if the session was over."""
        if self.session is None:
            return self._patiently(wanted)
        token = self.session.token()
        with contextlib.suppress(_SessionOver):
            connection, response = self._patiently(wanted.of(token))
            if given(response) is not NONE or not wanted.repeatable:
                return connection, response
            self._done(connection, response)  # it is what anybody may know
        return self._patiently(wanted.of(self.session.token(old=token)))

    def _patiently(self, wanted: _Request) -> tuple[Connection, http.client.HTTPResponse]:
        """The answer to a request, sent again while the server asks to come later."""
        until = time.monotonic() + PATIENCE
        for attempt in itertools.count(1):
            connection, response = self._send(wanted)
            if response.status < 300:
                return connection, response
            try:
                error = _refusal(response)
            except (OSError, http.client.HTTPException) as broken:
                raise Unreachable(f"{self.urlbase} broke off: {broken}") from None
            finally:
                self._done(connection, response)
            if error.put_off is None or not wanted.repeatable or attempt == TRIES:
                raise error
            # Not before the time that was told, and not all at once.
            pause = min(error.put_off, LONGEST_PAUSE) * random.uniform(1, 1.5)  # noqa: S311
            if time.monotonic() + pause > until:
                raise error
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _send(self, wanted: _Request) -> tuple[Connection, http.client.HTTPResponse]:
        """Send on a kept connection; once more on a new one if the server had closed it."""
        kept = self._connections.kept() if wanted.repeatable else None
        for connection in (kept, None):
            if connection is None:
                connection = self._connections.new()
            try:
                answer = connection.exchange(
                    wanted.method, wanted.target, wanted.headers, wanted.body
                )
                return connection, answer
            except (ConnectionError, http.client.BadStatusLine) as error:
                connection.close()
                if connection is not kept:
                    raise Unreachable(f"{self.urlbase} broke off: {error}") from None
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise Unreachable(f"{self.urlbase} does not answer: {error}") from None
        raise AssertionError("unreachable")

    def _done(self, connection: Connection, response: http.client.HTTPResponse) -> None:
        if response.isclosed():
            self._connections.keep(connection)
        else:  # the rest of the body is still on the connection
            connection.close()

    def _body(self, response: http.client.HTTPResponse) -> bytearray:
        length = response.length
        if length is None:
            return _rest(response)
        if length > MAX_BODY:
            raise Unreachable(f"{self.urlbase} announces a body of {length} bytes")
        try:
            body = bytearray(length)
        except MemoryError:
            raise Unreachable(f"no memory for a body of {length} bytes") from None
        view, at = memoryview(body), 0
        while at < length:
            count = receive(response, view[at : at + 16 * _PIECE])
            if not count:
                raise Unreachable(f"{self.urlbase} broke off after {at} of {length} bytes")
            at += count
        response.close()
        return body


def receive(response: http.client.HTTPResponse | io.BytesIO, buffer: memoryview) -> int:
    """Read some of an answer's body into a buffer; the number of bytes, 0 at its end.

    Raises
    ------
    Unreachable
        If the connection broke.
    """
    try:
        return response.readinto(buffer)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"the subscriber broke off: {error}") from None


def read(response: http.client.HTTPResponse | io.BytesIO, size: int) -> bytes:
    """Read so many bytes of an answer's body, fewer at its end.

    Raises
    ------
    Unreachable
        If the connection broke.
    """
    try:
        return response.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"the subscriber broke off: {error}") from None


def _rest(response: http.client.HTTPResponse) -> bytearray:
    """A body of unknown length."""
    try:
        return bytearray(response.read())
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"the subscriber broke off: {error}") from None


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: Body | None
    repeatable: bool

    def of(self, token: Token) -> _Request:
        """The same, made by whom the token is of."""
        return replace(self, headers={**self.headers, "Cookie": token.cookie})


def _refusal(response: http.client.HTTPResponse) -> HttpError:
    """The error that an answer tells of."""
    body = response.read(_PIECE)
    told: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(body)
    if not isinstance(told, dict):
        told = {}
    detail = str(told.get("detail") or body[:200].decode("utf-8", "replace"))
    name = str(told.get("name", "http"))
    kind: type[HttpError] = HttpError
    if given(response) is NONE:
        kind = _SessionOver
    elif response.status == 404:
        kind = Missing
    elif name == "bad-selection":
        kind = BadKey
    return kind(response.status, response.reason, detail, name, _put_off(response, told))


def _put_off(response: http.client.HTTPResponse, told: dict[str, Any]) -> float | None:
    """How long the server asks to wait before another try, if it does at all."""
    if response.status not in (429, 503) or told.get("retry") != "later":
        return None
    if told.get("name") == "root-offline":
        return None
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1.0


def _encoded(query: Mapping[str, str]) -> str:
    """A query as it stands in a URL, with slices that can be read."""
    return urllib.parse.urlencode(query, safe=":,")


@functools.lru_cache(maxsize=256)  # the same few are asked for again and again
def quote(path: str) -> str:
    """A path as it stands in a URL."""
    return urllib.parse.quote(path, safe="/@")
