"""FileForm: a file as a multipart form, read piece by piece while it is sent."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self, TypeVar

from caterva2.client.transport import Headers, Transport, checked
from caterva2.client.types import Local, Progress, RemotePath
from caterva2.errors import BadName
from caterva2.rest import media

T = TypeVar("T")
_PIECE = 2**20  # bytes between two calls of progress
_HEAD = (
    '--{}\r\nContent-Disposition: form-data; name="file"; filename="{}"\r\n'
    f"Content-Type: {media.BINARY}\r\n\r\n"
)
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class FileForm:
    """A multipart form with one file; iterating over it again sends it again.

    Parameters
    ----------
    source : Path, bytes or binary file
        An open file is sent from its current position.
    name : str
        Of the file.
    progress : callable, optional
    """

    def __init__(
        self, source: Path | bytes | BinaryIO, name: str, progress: Progress | None = None
    ) -> None:
        self._source = source
        self._progress = progress
        self._boundary = secrets.token_hex(16)
        self._head = _HEAD.format(self._boundary, name.translate(_ESCAPES)).encode()
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()
        self._size: int | None = None
        if isinstance(source, bytes):
            self._size = len(source)
        elif isinstance(source, os.PathLike):
            self._size = source.stat().st_size

    @classmethod
    def of(cls, local: Local, path: RemotePath, progress: Progress | None = None) -> Self:
        """Make the form that uploads content to a path; a file keeps its own name."""
        remote_name = PurePosixPath(path).name
        if isinstance(local, bytes):
            return cls(local, remote_name, progress)
        if isinstance(local, str | os.PathLike):
            file = Path(local)
            if file.is_dir():
                raise BadName(f"{file} is a directory: upload its files, or an archive of them")
            return cls(file, file.name, progress)
        name = getattr(local, "name", "")
        name = Path(name).name if isinstance(name, str) else remote_name
        return cls(local, name, progress)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the request that sends it."""
        kind = {"Content-Type": f"{media.UPLOAD}; boundary={self._boundary}"}
        if self._size is None:
            return kind
        return kind | {"Content-Length": str(len(self._head) + self._size + len(self._tail))}

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        done = 0
        for piece in self._pieces():
            yield piece
            done += len(piece)
            if self._progress is not None:
                self._progress(done, self._size)
        yield self._tail

    def send(
        self, transport: Transport, path: str, kind: type[T],
        *, repeatable: bool = True, unpack: bool = False, headers: Headers | None = None,
    ) -> T:  # fmt: skip
        """Send it and decode the answer; what makes a new thing each time is never repeated."""
        query = {"unpack": "1"} if unpack else None
        repeatable = repeatable and self._size is not None and not unpack
        given = {**self.headers, **(headers or {})}
        answer = transport.request("POST", path, query, given, self, repeatable)
        return checked(answer.json(), kind, transport.url(path))

    def _pieces(self) -> Iterator[bytes]:
        if isinstance(self._source, bytes):
            for at in range(0, len(self._source), _PIECE):
                yield self._source[at : at + _PIECE]
        elif isinstance(self._source, os.PathLike):
            yield from self._exactly(self._source)
        else:
            while piece := self._source.read(_PIECE):
                yield piece

    def _exactly(self, path: Path) -> Iterator[bytes]:
        """Read as many bytes as were announced, even if the file grew meanwhile."""
        left = self._size or 0
        with path.open("rb") as file:
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise OSError(f"{path} became shorter while it was sent")
                yield piece
                left -= len(piece)
