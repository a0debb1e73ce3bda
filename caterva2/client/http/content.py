"""Content: what is uploaded, read piece by piece while it is sent."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self

from caterva2.client.types import Local, RemotePath
from caterva2.errors import BadName, BadUpload

_PIECE = 2**20  # bytes between two calls of progress
_ENDS = 4096  # bytes of the beginning and the end of a file that stand for all of it


class Content:
    """Bytes, or a file, that are sent once or again.

    Parameters
    ----------
    source : Path, bytes or binary file
        An open file is sent from its current position.
    name : str
        Of the file.

    Attributes
    ----------
    name : str
    size : int or None
        None for an open file, which may have no end.
    """

    def __init__(self, source: Path | bytes | BinaryIO, name: str) -> None:
        self.name = name
        self._source = source
        self.size: int | None = None
        self._changed = 0
        if isinstance(source, bytes):
            self.size = len(source)
        elif isinstance(source, os.PathLike):
            found = source.stat()
            self.size, self._changed = found.st_size, found.st_mtime_ns

    @classmethod
    def of(cls, local: Local, path: RemotePath) -> Self:
        """Return the content that is uploaded to a path; a file keeps its own name."""
        remote_name = PurePosixPath(path).name
        if isinstance(local, bytes):
            return cls(local, remote_name)
        if isinstance(local, str | os.PathLike):
            file = Path(local)
            if file.is_dir():
                raise BadName(f"{file} is a directory: upload its files, or an archive of them")
            return cls(file, file.name)
        name = getattr(local, "name", "")
        return cls(local, Path(name).name if isinstance(name, str) else remote_name)

    def tag(self) -> str:
        """Return a text by which another process knows this file again; a random one for bytes."""
        if not isinstance(self._source, os.PathLike):
            return secrets.token_hex(16)
        made = hashlib.blake2b(f"{self.size} {self._changed}".encode(), digest_size=16)
        with self._source.open("rb") as file:
            made.update(file.read(_ENDS))
            file.seek(max(0, (self.size or 0) - _ENDS))
            made.update(file.read(_ENDS))
        return made.hexdigest()

    def pieces(self, at: int = 0) -> Iterator[bytes]:
        """Read from an offset on.

        Raises
        ------
        BadUpload
            If a file changed after its first part was sent, or became shorter.
        """
        if isinstance(self._source, bytes):
            for start in range(at, len(self._source), _PIECE):
                yield self._source[start : start + _PIECE]
        elif isinstance(self._source, os.PathLike):
            yield from self._exactly(self._source, at)
        else:
            while piece := self._source.read(_PIECE):
                yield piece

    def _exactly(self, path: Path, at: int) -> Iterator[bytes]:
        """Read as many bytes as were announced, even if the file grew meanwhile."""
        left = (self.size or 0) - at
        with path.open("rb") as file:
            if at and os.fstat(file.fileno()).st_mtime_ns != self._changed:
                raise BadUpload(f"{path} changed while it was sent")
            file.seek(at)
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise BadUpload(f"{path} became shorter while it was sent")
                yield piece
                left -= len(piece)
