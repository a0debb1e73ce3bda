"""FileForm: a file as a multipart form, read piece by piece while it is sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TypeVar

from caterva2.client.http.content import Content
from caterva2.client.transport import Headers, Transport, checked
from caterva2.client.types import Progress
from caterva2.rest import media

T = TypeVar("T")
_HEAD = (
    '--{}\r\nContent-Disposition: form-data; name="file"; filename="{}"\r\n'
    f"Content-Type: {media.BINARY}\r\n\r\n"
)
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class FileForm:
    """A multipart form with one file; iterating over it again sends it again.

    Parameters
    ----------
    content : Content
    progress : callable, optional
    """

    def __init__(self, content: Content, progress: Progress | None = None) -> None:
        self._content = content
        self._progress = progress
        self._boundary = secrets.token_hex(16)
        self._head = _HEAD.format(self._boundary, content.name.translate(_ESCAPES)).encode()
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the request that sends it."""
        kind = {"Content-Type": f"{media.UPLOAD}; boundary={self._boundary}"}
        size = self._content.size
        if size is None:
            return kind
        return kind | {"Content-Length": str(len(self._head) + size + len(self._tail))}

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        done = 0
        for piece in self._content.pieces():
            yield piece
            done += len(piece)
            if self._progress is not None:
                self._progress(done, self._content.size)
        yield self._tail

    def send(
        self, transport: Transport, path: str, kind: type[T],
        *, repeatable: bool = True, unpack: bool = False, headers: Headers | None = None,
    ) -> T:  # fmt: skip
        """Send it and decode the answer; what makes a new thing each time is never repeated."""
        query = {"unpack": "1"} if unpack else None
        repeatable = repeatable and self._content.size is not None and not unpack
        given = {**self.headers, **(headers or {})}
        answer = transport.request("POST", path, query, given, self, repeatable)
        return checked(answer.json(), kind, transport.url(path))
