"""A reverse proxy that offers a server below a prefix, and nothing beside it."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "upgrade"))


class PrefixProxy(ThreadingHTTPServer):
    """Passes on what is below a prefix, with or without it; the rest is 404.

    Attributes
    ----------
    strays : list of str
        What was asked for beside the prefix.
    """

    daemon_threads = True

    def __init__(self, port: int, prefix: str, *, strip: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port, self.prefix, self.strip = port, prefix, strip
        self.strays: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}{prefix}"

    @classmethod
    @contextlib.contextmanager
    def serving(cls, port: int, prefix: str, *, strip: bool) -> Iterator[PrefixProxy]:
        """Forward to a port of this machine, in threads, while the context is entered."""
        made = cls(port, prefix, strip=strip)
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join(10)
            made.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: PrefixProxy
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self.close_connection = True  # each request has a connection of its own
        below = self.path.removeprefix(self.server.prefix)
        if below == self.path or below[:1] not in ("", "/", "?"):
            self.server.strays.append(self.path)
            self.send_error(404)
            return
        self._forward(below if self.server.strip else self.path)

    def _forward(self, target: str) -> None:
        target = target if target.startswith("/") else "/" + target
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        given = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        with contextlib.closing(upstream), contextlib.suppress(OSError):
            upstream.request(self.command, target, body or None, {**given, "Connection": "close"})
            answer = upstream.getresponse()
            lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
            lines += [f"{n}: {v}" for n, v in answer.getheaders() if n.lower() not in _HOP]
            head = "\r\n".join([*lines, "Connection: close", "", ""])
            self.wfile.write(head.encode("latin-1"))
            while piece := answer.read1(65_536):  # events as they come
                self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        pass
