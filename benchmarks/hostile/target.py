"""The services that are attacked, and how to ask them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any, Self

import zmq

from caterva2.wire import codec, messages
from caterva2.wire.sockets import Context

SECONDS = 5.0
"""For which an attack goes on."""
PATIENCE_MS = 20_000


@dataclass(frozen=True, slots=True)
class Target:
    """Addresses of services, and what is published.

    ``url`` is of the subscriber, ``control`` and ``data`` are ``HOST:PORT`` of broker and
    publisher.
    """

    url: str
    control: str
    data: str
    root: str
    source: str

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @property
    def http(self) -> tuple[str, int]:
        """Where the subscriber listens."""
        return address(self.url.partition("://")[2])

    def get(self, path: str, timeout: float = 30, **headers: str) -> tuple[int, bytes]:
        """Ask the subscriber; status 0 if it does not answer in time."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.url}/{path}", headers=given)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""


def address(text: str) -> tuple[str, int]:
    """Parse ``HOST:PORT``."""
    host, _, port = text.rpartition(":")
    return host, int(port)


class Asking:
    """A DEALER that asks a service as any peer does."""

    def __init__(self, context: Context, where: str, decode: Any) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.rcvtimeo = PATIENCE_MS
        self._socket.connect(f"tcp://{where}")
        self._decode = decode
        self._next = 0

    def ask(self, request: messages.Request) -> Any:
        """Send a request and return its answer."""
        self.send(request)
        return self.receive()

    def send(self, request: messages.Request) -> None:
        self._next += 1
        self._socket.send_multipart(codec.encode(request.model_copy(update={"id": self._next})))

    def receive(self) -> Any:
        return self._decode(self._socket.recv_multipart())
