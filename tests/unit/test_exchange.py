"""Requests and heads of answers: few steps make of them what ``http.client`` does."""

from __future__ import annotations

import http.client
import io
import itertools
import socket
from typing import Any

import pytest

from caterva2.client.http.exchange import Connection, Response, SecureConnection


class Socket:
    """A socket that keeps what is sent, and gives an answer in some pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.sent = b""
        self.pieces = list(pieces)

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self.pieces))

    def close(self) -> None:
        pass


class _Raw(io.RawIOBase):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._pieces.pop(0) if self._pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


def told(kind: type[http.client.HTTPResponse], method: str, pieces: list[bytes]) -> Any:
    """All that an answer tells, or the error that it makes."""
    sock: Any = Socket(*pieces)
    response = kind(sock, method=method)
    try:
        response.begin()
        head = (
            response.status, response.reason, response.version, response.headers.items(),
            response.length, response.will_close, response.chunked,
        )  # fmt: skip
        return head, response.read(), response.isclosed()
    except http.client.HTTPException as error:
        return repr(error)


HEADS = {
    "plain": b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: W/"x"',
    "lower case": b"HTTP/1.1 200 OK\r\ncontent-length:4\r\nvary: a\r\nvary: b",
    "blanks": b"HTTP/1.1 206 Partial Content\r\ncontent-length: \t4 \r\nx:  y z \t",
    "empty reason": b"HTTP/1.1 200 \r\ncontent-length: 4",
    "no reason": b"HTTP/1.1 200\r\ncontent-length: 4",
    "no content": b"HTTP/1.1 204 No Content\r\ncontent-length: 4",
    "empty value": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx:",
    "latin-1": "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx: größe".encode("latin-1"),
    "refusal": b"HTTP/1.1 404 Not Found\r\ncontent-length: 4",
    "not modified": b"HTTP/1.1 304 Not Modified\r\netag: x",
    "no length": b"HTTP/1.1 200 OK\r\nx: y",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 3",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -4",
    "senseless length": b"HTTP/1.1 200 OK\r\ncontent-length: 0x4",
    "closing": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nConnection: close",
    "kept": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nConnection: keep-alive",
    "old": b"HTTP/1.0 200 OK\r\ncontent-length: 4",
    "folded": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx: y\r\n z",
    "no header": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nxyz",
    "blank in a name": b"HTTP/1.1 200 OK\r\ncontent-length : 4",
    "bare line feed": b"HTTP/1.1 200 OK\r\nx: y\ncontent-length: 4",
    "continued": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4",
    "no HTTP": b"SSH-2.0-OpenSSH",
    "nothing": b"",
}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"


@pytest.mark.parametrize("name", HEADS)
def test_head_is_understood_as_ever(name: str) -> None:
    whole = HEADS[name] + b"\r\n\r\n" + b"body" if HEADS[name] else b""
    for method, cut in itertools.product(("GET", "HEAD"), (None, 9, 40)):
        pieces = [whole] if cut is None else [whole[:cut], whole[cut:]]
        expected = told(http.client.HTTPResponse, method, list(pieces))
        assert told(Response, method, list(pieces)) == expected, (method, cut)


def test_chunked_body_is_read_as_ever() -> None:
    assert told(Response, "GET", [CHUNKED]) == told(http.client.HTTPResponse, "GET", [CHUNKED])


def test_plain_head_is_parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(http.client, "parse_headers")
    head, body, _ = told(Response, "GET", [HEADS["plain"] + b"\r\n\r\nbody"])
    assert head[3] == [("Content-Length", "4"), ("ETag", 'W/"x"')]
    assert body == b"body"


def sent(connection: http.client.HTTPConnection, target: str, **headers: str) -> list[bytes]:
    """The lines of a GET request; the first one, then the headers in alphabetical order."""
    sock: Any = Socket(HEADS["plain"] + b"\r\n\r\nbody")
    connection.sock = sock
    if isinstance(connection, Connection):
        connection.exchange("GET", target, headers)
    else:
        connection.request("GET", target, headers=headers)
    first, *rest = sock.sent.split(b"\r\n")
    return [first, *sorted(rest)]


@pytest.mark.parametrize(
    ("host", "port"), [("example.org", 80), ("example.org", 8002), ("::1", 8002), ("größe.de", 443)]
)
@pytest.mark.parametrize("secure", [False, True])
def test_request_is_that_of_http_client(host: str, port: int, secure: bool) -> None:
    ours, theirs = (
        (SecureConnection, http.client.HTTPSConnection)
        if secure
        else (Connection, http.client.HTTPConnection)
    )
    given: Any = {"Accept": "*/*", "Cookie": "a=b"}
    expected = sent(theirs(host, port), "/api/fetch/a?slice_=1:2", **given)
    assert sent(ours(host, port), "/api/fetch/a?slice_=1:2", **given) == expected


@pytest.mark.parametrize(
    ("target", "value"), [("/a b", "x"), ("/a\r\nX: y", "x"), ("/a", "x\r\nX: y"), ("/a", "x\ny")]
)
def test_no_request_is_forged(target: str, value: str) -> None:
    with pytest.raises((http.client.InvalidURL, ValueError)):
        sent(Connection("localhost"), target, Accept=value)


def test_body_goes_with_its_length() -> None:
    sock: Any = Socket(HEADS["plain"] + b"\r\n\r\nbody")
    connection = Connection("localhost")
    connection.sock = sock
    answer = connection.exchange("POST", "/a", {"Content-Type": "application/json"}, b"{}")
    assert b"Content-Length: 2\r\n" in sock.sent
    assert answer.read() == b"body"


def test_answer_that_is_the_last_one_closes_the_connection() -> None:
    sock: Any = Socket(HEADS["closing"] + b"\r\n\r\nbody")
    connection = Connection("localhost")
    connection.sock = sock
    answer = connection.exchange("GET", "/a", {})
    assert connection.sock is None
    assert answer.read() == b"body"


def test_silence_is_not_waited_for_without_a_limit() -> None:
    silent, other = socket.socketpair()
    with silent, other:
        silent.settimeout(0.05)
        connection = Connection("localhost")
        connection.sock = silent
        with pytest.raises(TimeoutError):
            connection.exchange("GET", "/a", {})
