"""A source in memory, for tests: the smallest complete implementation of the contract."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Iterator, Sequence

from caterva2.errors import BadRequest, NotFound, StaleVersion
from caterva2.frames import blocks
from caterva2.frames.raw import Cut, Run
from caterva2.frames.reader import FrameReader
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.runtime import durable
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.kinds import file_info, kind_of


class MemorySource(Source):
    """Datasets held as bytes, changed by `put` and `delete`."""

    def __init__(self, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self._piece = limits.reply_bytes
        self._contents: dict[DatasetPath, tuple[Entry, bytes]] = {}
        self._changed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._puts = 0

    def put(self, path: str, content: bytes) -> Entry:
        """Store a dataset: a frame's bytes, or a file's."""
        name = DatasetPath(path)
        self._puts += 1
        etag = hashlib.blake2b(content + bytes([self._puts % 256]), digest_size=12).hexdigest()
        entry = Entry(
            path=name, kind=kind_of(name), etag=etag, size=len(content), mtime=float(self._puts)
        )
        self._contents[name] = entry, content
        self._changed.put(name)
        return entry

    def delete(self, path: str) -> None:
        """Remove a dataset."""
        del self._contents[DatasetPath(path)]
        self._changed.put(path)

    def close(self) -> None:
        self._contents.clear()

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        return {
            path: entry
            for path, (entry, _) in list(self._contents.items())
            if not scope or path == scope or path.startswith(scope + "/")
        }

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        entry, content = self._get(path)
        if entry.kind == "file":
            marks = (0, len(content), 0, 0)
            return file_info(
                path, versions.Version(entry.etag, len(content), entry.mtime, marks, b"", b"")
            )
        return _reader(content).info(path, entry.kind, entry.etag, entry.mtime)

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        entry, content = self._get(path, etag)
        if entry.kind == "file":
            raise BadRequest(f"{path} is a plain file: it has bytes, not chunks")
        yield from _reader(content).runs(ids)

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        return blocks.cut_out_of(next(self.chunks(path, etag, [n])).payload, ids)

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        _, content = self._get(path, etag)
        if not 0 <= start <= stop <= len(content):
            raise BadRequest(f"bytes {start} to {stop} of {len(content)} do not exist")
        for at in range(start, stop, self._piece):
            yield content[at : min(at + self._piece, stop)]

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        while not stop.is_set():
            try:
                yield {self._changed.get(timeout=0.1)}
            except queue.Empty:
                continue

    def _get(self, path: DatasetPath, etag: str = "") -> tuple[Entry, bytes]:
        found = self._contents.get(path)
        if found is None:
            raise NotFound(f"{path} does not exist")
        if etag and found[0].etag != etag:
            raise StaleVersion(f"{path} has changed", info={"etag": found[0].etag})
        return found


def _reader(content: bytes) -> FrameReader:
    fd = durable.unnamed("caterva2")
    os.write(fd, content)
    return FrameReader(fd)
