"""Compression of texts over HTTP: what is compressed, for which clients, and its entity tags."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from caterva2.rest.values import layout
from caterva2.web.middleware.compression import LEAST, Compression, accepts_gzip
from tests.conftest import Stack
from tests.web.asking import ask


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("gzip", True), ("deflate, GZIP;q=0.5", True), ("*", True), ("x-gzip", True),
        ("", False), ("identity", False), ("gzip;q=0", False), ("gzip; q=0.000, *", False),
        ("*;q=0", False), ("br, zstd", False), (";;,,q=", False),
    ],
)  # fmt: skip
def test_clients_that_accept_it(given: str, accepted: bool) -> None:
    assert accepts_gzip(given.encode()) == accepted


def sent(answer: Any, method: str = "GET", accept: str = "gzip") -> tuple[dict[str, str], bytes]:
    """Return the headers and the body that a client gets."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(scope, receive, send)

    async def nothing() -> Message:
        await asyncio.Event().wait()
        return {}

    scope = {"type": "http", "method": method, "headers": [(b"accept-encoding", accept.encode())]}
    asyncio.run(Compression(app)(scope, nothing, keep))
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return headers, b"".join(message["body"] for message in messages[1:])


LONG = "a,b\r\n" * 100_000


@pytest.mark.parametrize(
    "kind", ["application/json", "text/csv; charset=utf-8", "text/html", "text/css",
             "text/javascript", "image/svg+xml"]
)  # fmt: skip
def test_texts_are_compressed(kind: str) -> None:
    headers, body = sent(Response(LONG, headers={"ETag": '"v"'}, media_type=kind))
    assert gzip.decompress(body) == LONG.encode()
    assert headers["content-length"] == str(len(body))
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert headers["etag"] == 'W/"v"'


def test_304_says_that_the_answer_depends_on_what_is_accepted() -> None:
    for headers in ({"ETag": '"v"'}, {"ETag": '"v"', "Vary": "Accept"}):
        found, body = sent(Response(status_code=304, headers=headers))
        assert (found["etag"], body) == ('"v"', b"")
        assert found["vary"] == ", ".join([*[*headers.values()][1:], "Accept-Encoding"])


def test_a_stream_is_compressed_piece_by_piece() -> None:
    def pieces() -> Iterator[bytes]:
        yield from (b"", b"x", LONG.encode(), b"", b"end")

    headers, body = sent(StreamingResponse(pieces(), media_type="text/csv"))
    assert gzip.decompress(body) == b"x" + LONG.encode() + b"end"
    assert "content-length" not in headers


@pytest.mark.parametrize(
    ("answer", "accept"),
    [
        (Response(LONG, media_type="application/json"), "identity"),
        (Response("x" * (LEAST - 1), media_type="application/json"), "gzip"),
        (Response(LONG, media_type="application/octet-stream"), "gzip"),
        (Response(LONG, media_type=layout.MEDIA_TYPE), "gzip"),
        (Response(LONG, media_type="image/png"), "gzip"),
        (Response(LONG, media_type="text/event-stream"), "gzip"),
        (Response(LONG, headers={"Accept-Ranges": "bytes"}, media_type="text/plain"), "gzip"),
        (Response(LONG, 206, media_type="text/plain"), "gzip"),
        (Response(LONG, headers={"Content-Encoding": "br"}, media_type="text/css"), "gzip"),
    ],
)
def test_what_stays_as_it_is(answer: Response, accept: str) -> None:
    before = dict(answer.headers)
    headers, body = sent(answer, accept=accept)
    assert body == answer.body
    varies = headers.pop("vary", "") == "Accept-Encoding"
    assert headers == before
    assert varies == (answer.media_type == "application/json")


def test_answers_of_the_service(shared_stack: Stack) -> None:
    target = "api/members/foo"
    plain, packed = ask(shared_stack, target), ask(shared_stack, target, Accept_Encoding="gzip")
    assert json.loads(gzip.decompress(packed.body)) == plain.json
    assert len(packed.body) < len(plain.body) / 3
    head = ask(shared_stack, target, "HEAD", Accept_Encoding="gzip")
    assert "content-encoding" not in head.headers
    for target in ("api/fetch/foo/ds-1d.b2nd", "api/download/foo/README.md"):
        answer = ask(shared_stack, target, Accept_Encoding="gzip")
        assert "content-encoding" not in answer.headers
    text = ask(shared_stack, "api/fetch/foo/ds-1d.b2nd?format=csv", Accept_Encoding="gzip")
    assert gzip.decompress(text.body).split() == [b"%d" % n for n in range(1000)]
    assert text.headers["etag"].startswith("W/")
