"""Transports for tests: answers in this process, and a count of requests."""

from __future__ import annotations

import io
import urllib.parse
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus

from caterva2.client.errors import Unreachable
from caterva2.client.transport import Request, Response, Transport
from caterva2.limits import DEFAULTS, ClientLimits
from tests.httpscript import Received, Reply


class MemoryTransport(Transport):
    """A transport without a network: a function answers, as in `httpscript.serving`."""

    def __init__(
        self, answer: Callable[[Received], Reply], limits: ClientLimits = DEFAULTS.client
    ) -> None:
        self._answer = answer
        self.urlbase = "memory:"
        self.limits = limits

    def url(self, path: str) -> str:
        return f"memory:/{urllib.parse.quote(path)}"

    def exchange(self, request: Request) -> Response:
        body = request.body if isinstance(request.body, bytes) else b"".join(request.body or ())
        received = Received(request.method, request.target, dict(request.headers), body)
        return MemoryResponse(self._answer(received))

    def close(self) -> None:
        pass


class MemoryResponse(Response):
    """An answer in memory, whose body ends early if the script says so."""

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.reason = HTTPStatus(reply.status).phrase
        self.headers = Message()
        for name, value in reply.headers.items():
            self.headers[name.replace("_", "-")] = value
        self.length = self._left = len(reply.body)
        self._body = io.BytesIO(reply.body[: reply.sent])

    def read(self, size: int = -1) -> bytes:
        found = self._body.read(self._left if size < 0 else size)
        self._left -= len(found)
        if size < 0 and self._left:
            raise Unreachable("the connection broke")
        return found

    def readinto(self, buffer: memoryview) -> int:
        count = self._body.readinto(buffer)
        self._left -= count
        return count

    def close(self) -> None:
        self._body.close()


class CountingTransport(Transport):
    """A transport that records the paths which another one is asked for."""

    def __init__(self, inner: Transport, limits: ClientLimits | None = None) -> None:
        self._inner = inner
        self.urlbase = inner.urlbase
        self.limits = limits or inner.limits
        self.paths: list[str] = []

    def url(self, path: str) -> str:
        return self._inner.url(path)

    def exchange(self, request: Request) -> Response:
        self.paths.append(request.path)
        return self._inner.exchange(request)

    def close(self) -> None:
        self._inner.close()
