"""Transport: the contract between the client and what carries its requests.

An implementation makes one attempt in `Transport.exchange`; repeating, refusals and whole bodies
are written here, once for all. What each may raise:

``Unreachable``
    No connection, silence for longer than the timeout, or a body that ends early. The subscriber
    may have executed the request. An implementation repeats a request within one attempt only if
    it is ``repeatable`` and a connection that was kept open turns out to be closed.
``HttpError``
    The status is 300 or more: never from `exchange`, which returns any answer, always from
    `send`. Statuses 429 and 503 that ask for another try are repeated first, if the request is
    ``repeatable``, with jitter and within `ClientLimits.patience`; not for an offline root.
``LoginNeeded``, ``LoginFailed``
    Only where a user is involved: see `caterva2.client.login`.

All methods may be called from several threads at once and after a fork. Closing twice does no
harm, and a closed transport connects anew for its next request.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import time
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Self, TypeVar

from caterva2.client.errors import Unreachable, error_of
from caterva2.client.kept import NOTHING, Kept
from caterva2.client.session import Session
from caterva2.errors import LoginNeeded
from caterva2.limits import DEFAULTS, ClientLimits
from caterva2.rest import media

T = TypeVar("T")
Body = bytes | Iterable[bytes]
"""Content of a request; an iterable is iterated again if the request is sent again."""
Headers = Mapping[str, str]
Query = Mapping[str, str] | str
"""Parameters, or a query string that is encoded already."""
MAX_BODY = 2**40
"""Bytes of an answer beyond which its announced length is an error, not a reason to allocate."""
_QUERY_LENGTH = 4_000  # of its encoded form; beyond it goes into a body, since proxies take 8 KB
_REPEATABLE = ("GET", "HEAD", "DELETE")
_ERROR = 2**20  # bytes of an error's body that are read
_PIECE = 16 * 2**20  # bytes of one read, so that a Ctrl+C is noticed within a large body


@dataclass(frozen=True, slots=True)
class Request:
    """A request, relative to the base URL.

    Parameters
    ----------
    method, path : str
    query : str
        Encoded.
    headers : mapping of str to str
    body : bytes or iterable of bytes, optional
    repeatable : bool
        Whether executing it twice has the effect of executing it once.
    """

    method: str
    path: str
    query: str = ""
    headers: Headers = field(default_factory=dict)
    body: Body | None = None
    repeatable: bool = False

    @property
    def target(self) -> str:
        """Path and query, encoded for a URL."""
        return f"/{quote(self.path)}?{self.query}" if self.query else f"/{quote(self.path)}"


class Response(ABC):
    """An answer whose body is still to be read; as a context manager it is closed at the end.

    Attributes
    ----------
    status : int
    reason : str
    headers : Message
        Found by their names in any case.
    length : int or None
        Bytes of the body that are left; None if the subscriber does not announce it.
    """

    __slots__ = ("headers", "length", "reason", "status")

    status: int
    reason: str
    headers: Message
    length: int | None

    @abstractmethod
    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes, fewer at the end only; the whole rest if negative."""

    @abstractmethod
    def readinto(self, buffer: memoryview) -> int:
        """Read some bytes into a buffer and return their number, 0 at the end."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back; drop it if the body was not read to its end."""

    def content(self) -> bytearray:
        """Read the whole body into one buffer."""
        length = self.length
        if length is None:
            return bytearray(self.read(-1))
        if length > MAX_BODY:
            raise Unreachable(f"the subscriber announces a body of {length} bytes")
        try:
            body = bytearray(length)
        except MemoryError:
            raise Unreachable(f"no memory for a body of {length} bytes") from None
        view, at = memoryview(body), 0
        while at < length:
            count = self.readinto(view[at : at + _PIECE])
            if not count:
                raise Unreachable(f"the connection broke after {at} of {length} bytes")
            at += count
        return body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """Headers, by their names in lower case, and the whole body of a successful answer."""

    headers: Headers
    body: bytearray

    @classmethod
    def read(cls, response: Response) -> Self:
        """Read a response to its end."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        return cls(headers, response.content())

    def json(self) -> Any:
        """Decode the body.

        Raises
        ------
        Unreachable
            If it is not JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise Unreachable(f"the answer is not JSON: {bytes(self.body[:80])!r}") from None


class Transport(ABC):
    """A carrier of requests to one subscriber.

    Attributes
    ----------
    urlbase : str
        The subscriber, as the user wrote it.
    session : Session or None
        The login, if requests are made as a user.
    limits : ClientLimits
    kept : Kept
        Copies on this machine; none unless a cache is used.
    """

    urlbase: str
    session: Session | None = None
    kept: Kept = NOTHING
    limits: ClientLimits = DEFAULTS.client

    @abstractmethod
    def url(self, path: str) -> str:
        """Return the whole URL of a path below the base."""

    @abstractmethod
    def exchange(self, request: Request) -> Response:
        """Make one attempt and return its answer, whatever its status."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections that are kept open."""

    def send(self, request: Request) -> Response:
        """Send a request, again while the subscriber postpones it; the answer is a success."""
        until = time.monotonic() + self.limits.patience
        for attempt in itertools.count(1):
            response = self.exchange(request)
            if response.status < 300:
                return response
            with response:
                body = response.read(_ERROR)
                error = error_of(response.status, response.reason, response.headers, body)
            if error.put_off is None or not request.repeatable or attempt == self.limits.tries:
                raise error
            # Not before the time that the subscriber names, and not all clients at once.
            pause = min(error.put_off, self.limits.pause) * random.uniform(1, 1.5)  # noqa: S311
            if time.monotonic() + pause > until:
                raise error
            time.sleep(pause)
        raise AssertionError("unreachable")

    def stream(
        self, method: str, path: str, query: Query | None = None, headers: Headers | None = None,
        body: Body | None = None, repeatable: bool = False,
    ) -> Response:  # fmt: skip
        """Send a request; the body of the answer is the caller's to read.

        Parameters
        ----------
        method, path : str
        query : mapping or str, optional
        headers : mapping of str to str, optional
        body : bytes or iterable of bytes, optional
            JSON, unless ``headers`` say otherwise.
        repeatable : bool
            Whether a method other than GET, HEAD and DELETE may be executed twice.
        """
        encoded = query if isinstance(query, str) else _encoded(query) if query else ""
        headers = headers or {}
        if body is not None and "Content-Type" not in headers:
            headers = {"Content-Type": media.JSON, **headers}
        repeatable = repeatable or method in _REPEATABLE
        return self.send(Request(method, path, encoded, headers, body, repeatable))

    def request(
        self, method: str, path: str, query: Query | None = None, headers: Headers | None = None,
        body: Body | None = None, repeatable: bool = False,
    ) -> Answer:  # fmt: skip
        """Send a request and read its whole answer; the parameters are those of `stream`."""
        with self.stream(method, path, query, headers, body, repeatable) as response:
            return Answer.read(response)

    def json(
        self, kind: type[T], method: str, path: str, query: Query | None = None,
        body: Mapping[str, Any] | None = None, repeatable: bool = False,
        headers: Headers | None = None,
    ) -> T:  # fmt: skip
        """Send a request, with a body in JSON if any, and decode its answer.

        Raises
        ------
        Unreachable
            If that is of another type than ``kind``.
        """
        content = None if body is None else json.dumps(body).encode()
        found = self.request(method, path, query, headers, content, repeatable).json()
        return checked(found, kind, self.url(path))

    def ask(self, path: str, query: Mapping[str, str], headers: Headers | None = None) -> Response:
        """Send a query by GET, or in the body of a POST if it is too long for a URL."""
        encoded = _encoded(query)
        if len(encoded) <= _QUERY_LENGTH:
            return self.stream("GET", path, encoded, headers)
        body = json.dumps(query).encode()
        return self.stream("POST", path, None, headers, body, repeatable=True)

    def user(self) -> Session:
        """Return the session.

        Raises
        ------
        LoginNeeded
            If requests are made as no user.
        """
        if self.session is None:
            raise LoginNeeded("no user: the client was made without auth=(user, password)")
        return self.session


def checked(found: Any, kind: type[T], url: str) -> T:
    """Return what a URL answered, if it has the type that was expected."""
    if not isinstance(found, kind):
        raise Unreachable(f"{url} answered with {type(found).__name__}")
    return found


def _encoded(query: Mapping[str, str]) -> str:
    """Encode a query, with slices that stay readable."""
    return urllib.parse.urlencode(query, safe=":,")


@functools.lru_cache(maxsize=256)  # one client asks for the same few paths
def quote(path: str) -> str:
    """Quote a path for a URL."""
    return urllib.parse.quote(path, safe="/@")
