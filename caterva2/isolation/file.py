"""A file whose datasets another process reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from caterva2.errors import SourceCorrupt
from caterva2.frames.raw import Cut, Run
from caterva2.isolation.reader import Reader
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.sources.base import ALL, NEVER, Datasets
from caterva2.sources.versions import FilePlace


class IsolatedFile(Datasets):
    """The datasets of one file. It holds nothing itself, so it may be made for each use.

    Parameters
    ----------
    reader : Reader
    below : str
        Path of the file below the reader's directory; empty for the reader's own file.
    room : int
        Bytes of chunks that are read together.
    """

    def __init__(self, reader: Reader, below: str, room: int) -> None:
        self._reader = reader
        self._room = room
        self.place = FilePlace(reader.target.path, below)

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        found = self._reader.entries(self.place, self.place.stamp())
        inside = scope + "/"
        return {
            path: entry
            for path, entry in found.items()
            if not scope or path == scope or path.startswith(inside)
        }

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        fields, _ = self._reader.call(self.place, path, ["info", path], deadline)
        try:
            return DatasetInfo.model_validate(fields)
        except ValidationError:
            raise SourceCorrupt("its description makes no sense", subject=path) from None

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        from caterva2.isolation import extents
        from caterva2.sources.located import Located

        left = list(ids)
        packed, _ = self._reader.call(self.place, path, ["located", path, etag, left], deadline)
        if packed:
            located = Located.unpack(packed)
            for run in extents.runs(self.place, located, tuple(left), self._room):
                del left[: len(run.ids)]
                yield run
                del run
        while left:
            head = ["chunks", path, etag, left]
            (found, sizes), payload = self._reader.call(self.place, path, head, deadline)
            del left[: len(found)]
            yield Run(list(found), list(sizes), payload)
            del payload

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        head = ["blocks", path, etag, n, list(ids)]
        (found, sizes), payload = self._reader.call(self.place, path, head, deadline)
        return Cut(tuple(found), tuple(sizes), payload)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        at = start
        while True:
            head = ["bytes", path, etag, at, stop]
            _, piece = self._reader.call(self.place, path, head, deadline)
            if piece:
                yield piece
            at += len(piece)
            if at >= stop or not piece:
                return
            del piece

    def close(self) -> None:
        self._reader.forget(self.place.below)
