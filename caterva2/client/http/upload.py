"""A file on its way to the subscriber, piece by piece, as the body of a request."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from caterva2.client.read.download import Progress

PIECE = 2**20
_HEAD = (
    '--{}\r\nContent-Disposition: form-data; name="file"; filename="{}"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
)
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class FileForm:
    """A multipart form with one file in it; iterating it again sends it again.

    Parameters
    ----------
    source : Path, bytes or binary file
        A file that is open already is sent from where it stands.
    name : str
        Its name.
    progress : callable, optional
        Called with the bytes that went and, if known, the bytes of all.
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

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent again."""
        return self._size is not None

    @property
    def headers(self) -> dict[str, str]:
        """What tells the server what comes."""
        kind = {"Content-Type": f"multipart/form-data; boundary={self._boundary}"}
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

    def _pieces(self) -> Iterator[bytes]:
        if isinstance(self._source, bytes):
            for at in range(0, len(self._source), PIECE):
                yield self._source[at : at + PIECE]
        elif isinstance(self._source, os.PathLike):
            yield from self._exactly(self._source)
        else:
            while piece := self._source.read(PIECE):
                yield piece

    def _exactly(self, path: Path) -> Iterator[bytes]:
        """As many bytes as were announced, whatever the file has become."""
        left = self._size or 0
        with path.open("rb") as file:
            while left:
                piece = file.read(min(PIECE, left))
                if not piece:
                    raise OSError(f"{path} became shorter while it was sent")
                yield piece
                left -= len(piece)
