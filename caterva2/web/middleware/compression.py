"""Compression of texts for clients that accept it: never of bytes, nor of what has ranges."""

from __future__ import annotations

import asyncio
import functools
import re
import zlib
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caterva2.limits.constants import KIB

LEAST: Final = KIB
"""Bytes of a body from which on it is compressed."""
_AT_ONCE: Final = 16 * KIB
"""Bytes up to which this is done on the event loop."""
_LEVEL, _GZIP = 4, 31
_TEXTS: Final = frozenset(
    (b"application/json", b"application/javascript", b"image/svg+xml", b"text/css", b"text/csv",
     b"text/html", b"text/javascript", b"text/markdown", b"text/plain")
)  # fmt: skip
Headers = list[tuple[bytes, bytes]]


class Compression:
    """Compress texts of more than a kilobyte with gzip.

    Answers with ranges stay as they are, since ranges are those of the bytes as they are stored. A
    strong entity tag becomes weak, as it stands for both representations.

    Parameters
    ----------
    app : ASGIApp
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
        wanted = scope["method"] != "HEAD" and accepts_gzip(given)
        await self._app(scope, receive, _Answer(send, wanted=wanted))


@functools.lru_cache(maxsize=64)  # a client sends one value with all its requests
def accepts_gzip(given: bytes) -> bool:
    """Return whether an Accept-Encoding header allows gzip."""
    allowed: dict[bytes, bool] = {}
    for entry in given.lower().split(b","):
        coding, _, parameters = entry.partition(b";")
        refused = re.fullmatch(rb"\s*q\s*=\s*0(\.0*)?\s*", parameters)
        allowed[coding.strip()] = refused is None
    return allowed.get(b"gzip", allowed.get(b"x-gzip", allowed.get(b"*", False)))


class _Answer:
    """Send the messages of an answer, compressed where that is wanted and pays."""

    def __init__(self, send: Send, *, wanted: bool) -> None:
        self._send = send
        self._wanted = wanted
        self._start: Message | None = None
        self._compressor: Any = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._on_start(message)
        elif message["type"] != "http.response.body":
            await self._send(message)
        elif self._start is not None:
            await self._on_first(self._start, message)
        elif self._compressor is not None:
            await self._send({**message, "body": await self._packed(message)})
        else:
            await self._send(message)

    async def _on_start(self, message: Message) -> None:
        is_text = _is_text(message)
        if not is_text and message["status"] != 304:
            await self._send(message)
            return
        # Of what 304 confirms the type is not known; its headers replace those that are kept.
        message = {**message, "headers": _varied(message["headers"])}
        if self._wanted and is_text:
            self._start = message  # the first bytes of the body decide
        else:
            await self._send(message)

    async def _on_first(self, start: Message, message: Message) -> None:
        self._start = None
        last = not message.get("more_body", False)
        if last and len(message.get("body", b"")) < LEAST:
            await self._send(start)
            await self._send(message)
            return
        self._compressor = zlib.compressobj(_LEVEL, wbits=_GZIP)
        body = await self._packed(message)
        await self._send({**start, "headers": _packed_headers(start, len(body) if last else None)})
        await self._send({**message, "body": body})

    async def _packed(self, message: Message) -> bytes:
        body, last = message.get("body", b""), not message.get("more_body", False)
        if len(body) <= _AT_ONCE:
            return self._compressed(body, last)
        return await asyncio.to_thread(self._compressed, body, last)

    def _compressed(self, body: Any, last: bool) -> bytes:
        packed: bytes = self._compressor.compress(body)
        return packed + self._compressor.flush() if last else packed


def _is_text(start: Message) -> bool:
    """Return whether an answer has a text that may be compressed."""
    headers: dict[bytes, bytes] = dict(start["headers"])
    if start["status"] in (204, 206, 304) or b"content-encoding" in headers:
        return False
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return kind in _TEXTS and headers.get(b"accept-ranges") != b"bytes"


def _varied(headers: Headers) -> Headers:
    """Say that an answer depends on what the client accepts, beside what it depends on already."""
    known = [value for name, value in headers if name == b"vary"]
    others = [(name, value) for name, value in headers if name != b"vary"]
    return [*others, (b"vary", b", ".join([*known, b"Accept-Encoding"]))]


def _packed_headers(start: Message, length: int | None) -> Headers:
    made: Headers = [(b"content-encoding", b"gzip")]
    for name, value in start["headers"]:
        if name == b"etag" and not value.startswith(b"W/"):
            made.append((name, b"W/" + value))
        elif name != b"content-length":
            made.append((name, value))
    if length is not None:
        made.append((b"content-length", b"%d" % length))
    return made
