"""Byte ranges: parsing of Range headers, and answers with one, several or no ranges."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from caterva2.arrays.selection import Selection
from caterva2.frames.sealed import Sealed
from caterva2.limits.constants import READ_PIECE
from caterva2.rest import media
from caterva2.web import conditions
from caterva2.web.reader import Dataset
from caterva2.web.state import state_of

Span = tuple[int, int]
"""Start and stop of some bytes."""
_SPEC = re.compile(r"([0-9]{0,99})-([0-9]{0,99})")


class Content(Protocol):
    """Bytes that can be read from any position."""

    @property
    def size(self) -> int: ...

    async def ready(self, spans: Sequence[Span]) -> None:
        """Fetch some spans: a stream must not break after its headers were sent."""
        ...

    def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes of a span that is ready."""
        ...


class StoredFrame:
    """A stored frame, read piece by piece."""

    def __init__(self, frame: Sealed) -> None:
        self._frame = frame
        self.size = frame.size

    async def ready(self, spans: Sequence[Span]) -> None:
        """Do nothing: a stored frame is complete."""

    async def pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        while start < stop:
            size = min(READ_PIECE, stop - start)
            piece = await asyncio.to_thread(self._frame.pread, size, start)
            if not piece:
                raise OSError("a cached file is shorter than it was")
            yield piece
            start += len(piece)


class PlainFile:
    """The bytes of a plain file, decoded from its chunks."""

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
    request: Request, content: Content, etag: str, headers: dict[str, str], media_type: str
) -> Response:
    """Answer with some content, or with the ranges of it that a request asks for.

    Parameters
    ----------
    request : Request
    content : Content
    etag : str
        A strong entity tag, in quotes.
    headers : dict
        Further headers.
    media_type : str
        The content's media type.
    """
    conditions.check_tag(request, etag)
    headers = headers | {"ETag": etag, "Accept-Ranges": "bytes"}
    spans = _requested(request, content.size, etag)
    if request.method == "HEAD":
        return Response(None, 200, headers | {"Content-Length": str(content.size)}, media_type)
    await content.ready(spans or [(0, content.size)])
    if spans is None:
        headers["Content-Length"] = str(content.size)
        return StreamingResponse(content.pieces(0, content.size), 200, headers, media_type)
    if len(spans) == 1:
        [(start, stop)] = spans
        headers["Content-Range"] = content_range(start, stop, content.size)
        headers["Content-Length"] = str(stop - start)
        return StreamingResponse(content.pieces(start, stop), 206, headers, media_type)
    return _multipart(content, spans, headers, media_type)


def _requested(request: Request, size: int, etag: str) -> list[Span] | None:
    """Return the spans that a request asks for; None for the whole content."""
    given = request.headers.getlist("range")
    # A date is not a strong validator here, so one in If-Range never matches.
    if request.method != "GET" or len(given) != 1:
        return None
    if request.headers.get("if-range", etag) != etag:
        return None
    return parse(given[0], size, state_of(request).limits.web.ranges)


def parse(header: str, size: int, max_ranges: int) -> list[Span] | None:
    """Return the spans that a Range header names; None if it is to be ignored.

    Overlapping spans are sent as requested, unless their sum is more than the content.

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
    for spec in specs[: max_ranges + 1]:
        match = _SPEC.fullmatch(spec)
        if not match or spec == "-":
            return None
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return None
        span = (int(first), int(last) + 1 if last else size) if first else (size - int(last), size)
        spans.append((max(span[0], 0), min(span[1], size)))
    if len(specs) > max_ranges:
        raise _unsatisfiable(f"more ranges than RANGES, {max_ranges}", size)
    spans = [(start, stop) for start, stop in spans if start < stop]
    if not spans:
        raise _unsatisfiable(f"range {text[:80]} lies outside of {size} bytes", size)
    if sum(stop - start for start, stop in spans) > size:
        return None
    return spans


def _unsatisfiable(detail: str, size: int) -> HTTPException:
    return HTTPException(416, detail, {"Content-Range": f"bytes */{size}"})


def content_range(start: int, stop: int, size: int) -> str:
    """Return a Content-Range."""
    return f"bytes {start}-{stop - 1}/{size}"


def _multipart(content: Content, spans: list[Span], headers: dict[str, str], kind: str) -> Response:
    boundary = secrets.token_hex(16)
    heads = [
        f"--{boundary}\r\nContent-Type: {kind}\r\n"
        f"Content-Range: {content_range(*span, content.size)}\r\n\r\n".encode()
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
    headers = headers | {"Content-Length": str(length)}
    return StreamingResponse(parts(), 206, headers, f"{media.BYTE_RANGES}; boundary={boundary}")
