"""The file in a multipart body, read while it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from caterva2.errors import BadForm, BadUpload, TooLarge
from caterva2.limits import WebLimits
from caterva2.model import Upload
from caterva2.rest import media
from caterva2.web.params import bodies
from caterva2.web.state import state_of

FIELD = "file"


class _Parts:
    """A parser's findings: the file's name, and those of its bytes that were not taken yet."""

    def __init__(self, boundary: bytes, limits: WebLimits) -> None:
        self._limits = limits
        self.name: str | None = None
        self.complete = False
        self.pieces: list[bytes] = []
        self._header, self._value = b"", b""
        self._disposition = b""
        self._is_file = False
        self._others = 0
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._more_of_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadUpload(f"the body is not a multipart form: {error}") from None

    def taken(self) -> list[bytes]:
        """Return the bytes of the file that have arrived since the last call."""
        pieces, self.pieces = self.pieces, []
        return pieces

    def _begin(self) -> None:
        self._disposition, self._is_file = b"", False

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._check(len(self._header))

    def _more_of_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check(len(self._value))

    def _check(self, size: int) -> None:
        if size > self._limits.part_header:
            raise TooLarge(
                f"a header in the body is larger than PART_HEADER, {self._limits.part_header}"
            )

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name", b"").decode("utf-8", "replace") == FIELD and self.name is None:
            self.name = options.get(b"filename", b"").decode("utf-8", "replace")
            self._is_file = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.pieces.append(data[start:end])
        else:
            self._others += end - start
            if self._others > self._limits.form_bytes:
                raise TooLarge(
                    f"fields beside {FIELD!r} are larger than FORM_BYTES, {self._limits.form_bytes}"
                )

    def _end(self) -> None:
        self.complete = self.complete or self._is_file


async def upload(request: Request) -> Upload:
    """Read a multipart body up to the file in it, which is returned open.

    Raises
    ------
    BadForm
        If there is no file.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != media.UPLOAD.encode() or not 0 < len(boundary) <= 256:
        raise BadForm(f"a file is sent as the field {FIELD!r} of multipart/form-data")
    parts, body = _Parts(boundary, state_of(request).limits.web), bodies.pieces(request)
    while parts.name is None:
        data = await anext(body, None)
        if data is None:
            raise BadForm(f"the field {FIELD!r} is missing in the form")
        parts.feed(data)
    return Upload(parts.name, _pieces(parts, body))


async def _pieces(parts: _Parts, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in parts.taken():
        yield piece
    async for data in body:
        parts.feed(data)
        for piece in parts.taken():
            yield piece
    if not parts.complete:
        raise BadUpload("the body ends before the file in it does")
