"""A request and the head of its answer on one connection, in few steps where they are plain.

``http.client`` takes longer for a small request than a subscriber does. What is plain is written
and parsed here: a request without a body, and a head that came in one piece, tells the length
of what follows, and keeps the connection. Whatever else comes up is left to ``http.client``.
"""

from __future__ import annotations

import functools
import http.client
import io
import re
import socket
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

Body = bytes | Iterable[bytes]
"""What is sent; what is iterated has to be so again, if the request is sent again."""
_BODILESS = ("GET", "HEAD", "DELETE")
_TARGET = re.compile(r"/[!-~]*")
_PLAIN = re.compile(r"HTTP/1\.1 (20[0-9]) ([ -~]*)(?:\r\n[!-9;-~]+:[^\r\n\0]*)*")
_LENGTH_NAME = "\r\ncontent-length:"
_LENGTH = re.compile(_LENGTH_NAME + r"[ \t]*([0-9]{1,15})(?:\r|$)")
_MOST = 8 * 1024
"""Bytes of a head that is plain."""
_UNUSUAL = ("\r\nconnection:", "\r\nkeep-alive:", "\r\ntransfer-encoding:")
"""Headers of an answer that is not plain."""


class Response(http.client.HTTPResponse):
    """An answer whose head is parsed at once if it is plain."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: Any = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._bodiless = method == "HEAD"

    def begin(self) -> None:
        # What is peeked at is still there for http.client.
        peeked = self.fp.peek(_MOST) if isinstance(self.fp, io.BufferedReader) else b""
        end = peeked.find(b"\r\n\r\n", 0, _MOST)
        head = peeked[: max(end, 0)].decode("latin-1")
        plain = _PLAIN.fullmatch(head)
        found = _headers(head) if plain else None
        if plain is None or found is None:
            super().begin()
            return
        self.fp.read(end + 4)
        self.headers, length = found
        self.msg = self.headers
        self.version = 11
        self.code = self.status = int(plain[1])
        self.reason = plain[2].strip()
        self.chunked = self.will_close = False
        self.length = 0 if self._bodiless or self.status == HTTPStatus.NO_CONTENT else length


def _headers(head: str) -> tuple[http.client.HTTPMessage, int] | None:
    """The headers of an answer and the length of its body; None if they are not plain."""
    lower = head.lower()
    length = _LENGTH.search(lower)
    if length is None or lower.count(_LENGTH_NAME) > 1 or any(name in lower for name in _UNUSUAL):
        return None
    found = http.client.HTTPMessage()
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        found.set_raw(name, value.lstrip(" \t"))
    return found, int(length[1])


class Connection(http.client.HTTPConnection):
    """A connection to a server."""

    response_class = Response

    def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: Body | None = None
    ) -> http.client.HTTPResponse:
        """Send a request; its answer, of which the body is to be read to its end."""
        head = self._head(method, target, headers) if body is None else None
        if head is None:
            self.request(method, target, body, dict(headers))
            return self.getresponse()
        self.send(head)
        response = self.response_class(self.sock, method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        if response.will_close:
            self.close()  # what is still to be read of the answer keeps the socket open
        return response

    def _head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes | None:
        """A request without a body; None if it is not plain."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        forged = lines.count("\n") != len(headers) or lines.count("\r") != len(headers)
        if forged or method not in _BODILESS or not _TARGET.fullmatch(target):
            return None
        text = f"{method} {target} HTTP/1.1\r\n{self._own_headers}{lines}\r\n"
        return text.encode("latin-1")

    @functools.cached_property
    def _own_headers(self) -> str:
        """What `http.client` would send of its own."""
        host = self.host.encode("ascii" if self.host.isascii() else "idna").decode("ascii")
        host = f"[{host.partition('%')[0]}]" if ":" in host else host
        port = "" if self.port == self.default_port else f":{self.port}"
        return f"Host: {host}{port}\r\nAccept-Encoding: identity\r\n"


class SecureConnection(Connection, http.client.HTTPSConnection):
    """The same over TLS."""
