"""A line between a client and its subscriber that records, and that a test cuts or disturbs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import caterva2
from caterva2.client.errors import HttpError, Missing, Unreachable
from caterva2.client.http.transport import HttpTransport
from caterva2.client.transport import Request, Response, Transport
from caterva2.depot.transport import CachingTransport, KeptResponse


class Line(Transport):
    """Requests to a subscriber as they are sent, unless a test says otherwise.

    Attributes
    ----------
    requests : list of Request
    cut : bool
        Whether there is no network.
    missing : str
        A beginning of targets that are refused.
    refusal : HttpError
        What they are answered with: 404.
    damage : callable, optional
        Changes the bodies of streams.
    """

    def __init__(self, url: str) -> None:
        self._inner = HttpTransport(url)
        self.urlbase, self.limits = self._inner.urlbase, self._inner.limits
        self.requests: list[Request] = []
        self.cut, self.missing = False, "\0"
        self.refusal: HttpError = Missing(404, "Not Found", "hidden", "not-found")
        self.damage: Callable[[bytearray], None] | None = None

    def __deepcopy__(self, _: Any) -> Line:
        return copy.copy(self)

    def url(self, path: str) -> str:
        return self._inner.url(path)

    def exchange(self, request: Request) -> Response:
        self.requests.append(request)
        if self.cut:
            raise Unreachable("the line is cut")
        if request.target.startswith(self.missing):
            raise self.refusal
        response = self._inner.exchange(request)
        if self.damage is not None and "/api/chunks/" in request.target:
            with response:
                body = response.content()
            self.damage(body)
            return KeptResponse(bytes(body), response.headers)
        return response

    def close(self) -> None:
        self._inner.close()

    @property
    def targets(self) -> list[str]:
        """Method and target of each request."""
        return [f"{one.method} {one.target}" for one in self.requests]


def cached(line: Line, directory: Path, quota: int = 0, *, follow: bool = False) -> caterva2.Client:
    """Make a client with a cache that knows nothing yet of what is in it."""
    return caterva2.Client.over(CachingTransport(line, directory, quota, follow))
