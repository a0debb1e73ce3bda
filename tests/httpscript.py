"""An HTTP server whose answers are a test's."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Received:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """How to answer one.

    ``sent`` are the bytes that really go out of ``body``; fewer break the connection off.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None
    closes: bool = False
    """Close the connection afterwards, without a word."""


def refusal(status: int, name: str, retry: str = "no", **headers: str) -> Reply:
    """An error as a subscriber tells it."""
    told = {"detail": f"it is {name}", "name": name, "retry": retry, "code": status}
    return Reply(status, json.dumps(told).encode(), headers)


class Script:
    """What the server does, and what it was asked.

    Attributes
    ----------
    url : str
    asked : list of Received
    connections : int
    """

    def __init__(self, answer: Callable[[Received], Reply]) -> None:
        self.answer = answer
        self.asked: list[Received] = []
        self.connections = 0
        self.url = ""


class _Server(http.server.ThreadingHTTPServer):
    """Says nothing of clients that leave: commands run in this process, and stderr is theirs."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(answer: Callable[[Received], Reply]) -> Iterator[Script]:
    """Serve from a thread on a free port."""
    script = Script(answer)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            script.connections += 1
            super().setup()

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Received(self.command, self.path, dict(self.headers.items()), body)
            script.asked.append(asked)
            reply = script.answer(asked)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: reply.sent])
            self.close_connection = reply.closes or reply.sent is not None

        do_GET = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
