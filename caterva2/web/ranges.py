"""Byte ranges: which of them a request wants, and an answer with one, several or all of them."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from caterva2 import limits
from caterva2.arrays.selection import Selection
from caterva2.frames.sealed import Sealed
from caterva2.web.reader import Dataset

Span = tuple[int, int]
"""Start and stop of some bytes."""
_SPEC = re.compile(r"([0-9]{0,99})-([0-9]{0,99})")


class Content(Protocol):
    """Bytes of a known number that can be read from any place."""

    @property
    def size(self) -> int: ...

    async def ready(self, spans: Sequence[Span]) -> None:
        """Have some spans at hand: a stream must not break once its headers are out."""
        ...

    def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes of a span that is ready, bit by bit."""
        ...


class StoredFrame:
    """A stored frame, read without a copy in memory."""

    def __init__(self, frame: Sealed) -> None:
        self._frame = frame
        self.size = frame.size

    async def ready(self, spans: Sequence[Span]) -> None:
        """All of it is."""

    async def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        while start < stop:
            size = min(limits.READ_PIECE, stop - start)
            piece = await asyncio.to_thread(self._frame.pread, size, start)
            if not piece:
                raise OSError("a cached file is shorter than it was")
            yield piece
            start += len(piece)


class PlainFile:
    """A plain file's own bytes, decoded from the chunks that hold them."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.size = dataset.info.nbytes

    def _part(self, start: int, stop: int) -> Selection:
        return Selection((self.size,), (range(start, stop),))

    async def ready(self, spans: Sequence[Span]) -> None:
        for span in spans:
            await self._dataset.ready(self._part(*span))

    async def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        step = self._dataset.info.chunksize
        while start < stop:
            end = min(stop, (start // step + 1) * step)
            yield (await self._dataset.values(self._part(start, end))).tobytes()
            start = end


async def answer(
    request: Request, content: Content, etag: str, headers: dict[str, str], kind: str
) -> Response:
    """The bytes that a request wants of some content.

    Parameters
    ----------
    request : Request
    content : Content
    etag : str
        A strong one, in its quotes: the same bytes and no others have it.
    headers : dict
        What else to tell.
    kind : str
        The content's media type.
    """
    told = headers | {"ETag": etag, "Accept-Ranges": "bytes"}
    spans = _wanted(request, content.size, etag)
    if request.method == "HEAD":
        return Response(None, 200, told | {"Content-Length": str(content.size)}, kind)
    await content.ready(spans or [(0, content.size)])
    if spans is None:
        told["Content-Length"] = str(content.size)
        return StreamingResponse(content.pieces(0, content.size), 200, told, kind)
    if len(spans) == 1:
        [(start, stop)] = spans
        told["Content-Range"] = _content_range(start, stop, content.size)
        told["Content-Length"] = str(stop - start)
        return StreamingResponse(content.pieces(start, stop), 206, told, kind)
    return _multipart(content, spans, told, kind)


def _wanted(request: Request, size: int, etag: str) -> list[Span] | None:
    """The spans to send; None for everything."""
    given = request.headers.getlist("range")
    # A date is no strong validator here, so one in If-Range never holds.
    if request.method != "GET" or len(given) != 1:
        return None
    if request.headers.get("if-range", etag) != etag:
        return None
    return parse(given[0], size)


def parse(header: str, size: int) -> list[Span] | None:
    """The spans that a Range header names; None if it is to be ignored.

    Those that overlap are sent as they are asked for, unless they are more than the content
    together.

    Raises
    ------
    HTTPException
        416 if none lies within the content, or there are too many.
    """
    unit, _, text = header.partition("=")
    specs = [spec for part in text.split(",") if (spec := part.strip(" \t"))]
    if unit.strip().lower() != "bytes" or not specs:
        return None
    spans = []
    for spec in specs[: limits.RANGES + 1]:
        match = _SPEC.fullmatch(spec)
        if not match or spec == "-":
            return None
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return None
        span = (int(first), int(last) + 1 if last else size) if first else (size - int(last), size)
        spans.append((max(span[0], 0), min(span[1], size)))
    if len(specs) > limits.RANGES:
        raise _unsatisfiable(f"more ranges than RANGES, {limits.RANGES}", size)
    spans = [(start, stop) for start, stop in spans if start < stop]
    if not spans:
        raise _unsatisfiable(f"range {text[:80]} lies outside of {size} bytes", size)
    if sum(stop - start for start, stop in spans) > size:
        return None
    return spans


def _unsatisfiable(detail: str, size: int) -> HTTPException:
    return HTTPException(416, detail, {"Content-Range": f"bytes */{size}"})


def _content_range(start: int, stop: int, size: int) -> str:
    return f"bytes {start}-{stop - 1}/{size}"


def _multipart(content: Content, spans: list[Span], headers: dict[str, str], kind: str) -> Response:
    boundary = secrets.token_hex(16)
    heads = [
        f"--{boundary}\r\nContent-Type: {kind}\r\n"
        f"Content-Range: {_content_range(*span, content.size)}\r\n\r\n".encode()
        for span in spans
    ]
    end = f"--{boundary}--\r\n".encode()

    async def parts() -> AsyncIterator[bytes]:
        for head, span in zip(heads, spans, strict=True):
            yield head
            async for piece in content.pieces(*span):
                yield piece
            yield b"\r\n"
        yield end

    bodies = sum(stop - start + 2 for start, stop in spans)
    length = sum(map(len, heads)) + bodies + len(end)
    told = headers | {"Content-Length": str(length)}
    return StreamingResponse(parts(), 206, told, f"multipart/byteranges; boundary={boundary}")
