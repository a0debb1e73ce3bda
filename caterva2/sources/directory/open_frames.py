"""Frames of a directory that are open for reading, each in one version."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence

from caterva2.errors import CatervaError, CodecNotAllowed, SourceCorrupt
from caterva2.frames.raw import Cut, Edges, Run
from caterva2.frames.reader import CLOSED, FrameReader
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry, Kind
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from caterva2.sources import versions
from caterva2.sources.directory import kept_frames
from caterva2.sources.directory.plugged import Plugged
from caterva2.sources.directory.seen import Known
from caterva2.sources.layout import CPARAMS


class OpenFrames:
    """Reads versions of frames, and keeps the most recently used open for the next reader.

    Parameters
    ----------
    open_file : callable
        Opens the file of a path.
    stale : callable
        Makes the error for a file that changed while it was read.
    limits : PublisherLimits, optional
    plugged : Plugged, optional
        Reads arrays that need plugins; without it they are refused.
    """

    def __init__(
        self,
        open_file: Callable[[DatasetPath], int],
        stale: Callable[[DatasetPath], CatervaError],
        limits: PublisherLimits = DEFAULTS.publisher,
        plugged: Plugged | None = None,
    ) -> None:
        self._plugged = plugged
        self._open = open_file
        self._stale = stale
        self._run_bytes = limits.reply_bytes
        # A frame that is dropped is closed when its last reader lets go of it.
        self._frames: Lru[str, tuple[FrameReader, versions.Version]] = Lru(limits.open_frames)
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Close all frames that are not being read."""
        with self._lock:
            self._frames.clear()

    def forget(self, path: str) -> None:
        """Close a frame, once it is not being read."""
        with self._lock:
            self._frames.pop(path)

    def info(self, path: DatasetPath, kind: Kind, known: Known | None = None) -> DatasetInfo:
        """Describe the current version of a frame, which is not opened where enough is known."""
        if known is not None and known.frame:
            # What is wrong with a frame is said of the file itself.
            with contextlib.suppress(SourceCorrupt, CodecNotAllowed):
                edges = kept_frames.edges(known.frame, known.entry.size)
                return self._info(FrameReader(CLOSED, edges), path, kind, known.entry)
        reader, version = self.get(path, "")
        with _naming(path):
            return self._info(reader, path, kind, version)

    def _info(
        self, reader: FrameReader, path: DatasetPath, kind: Kind, version: Entry | versions.Version
    ) -> DatasetInfo:
        converted = CPARAMS if self._plugged is not None and reader.needs_plugins else None
        return reader.info(path, kind, version.etag, version.mtime, converted)

    def chunks(self, path: DatasetPath, etag: str, ids: Sequence[int]) -> Iterator[Run]:
        """Yield raw chunks of a version of a frame, see `Source.chunks`."""
        reader, version = self.get(path, etag)
        runs = reader.runs(ids, self._run_bytes)
        if self._plugged is not None and reader.needs_plugins:
            runs = self._plugged.open(path).chunks(path, etag, ids)

        def next_run() -> Run | None:
            with self._of_version(path, version):
                run = next(runs, None)
            if run is not None and not versions.unchanged(reader.fd, version):
                raise self._stale(path)
            return run

        yield from iter(next_run, None)

    def blocks(self, path: DatasetPath, etag: str, n: int, ids: Sequence[int]) -> Cut:
        """Return some blocks of a chunk of a version of a frame, see `Source.blocks`."""
        reader, version = self.get(path, etag)
        with self._of_version(path, version):
            if self._plugged is not None and reader.needs_plugins:
                found = self._plugged.open(path).blocks(path, etag, n, ids)
            else:
                found = reader.blocks(n, ids)
        if not versions.unchanged(reader.fd, version):
            raise self._stale(path)
        return found

    def get(self, path: DatasetPath, etag: str) -> tuple[FrameReader, versions.Version]:
        """Return a reader of a version of a frame, of the current one if no etag is given."""
        found = self._frames.get(path)
        if (
            found is not None
            and etag == found[1].etag
            and versions.unchanged(found[0].fd, found[1])
        ):
            return found
        fd = self._open(path)
        try:
            version = versions.settled(fd)
        except BaseException:
            os.close(fd)
            raise
        if etag and version.etag != etag:
            os.close(fd)
            raise self._stale(path)
        with self._of_version(path, version):
            reader = FrameReader(fd, Edges(version.size, version.head, version.tail))
        if not versions.unchanged(fd, version):
            raise self._stale(path)
        with self._lock:
            self._frames.put(path, (reader, version))
        return reader, version

    @contextlib.contextmanager
    def _of_version(self, path: DatasetPath, version: versions.Version) -> Iterator[None]:
        """Raise the stale error instead of one that a half-written next version caused."""
        try:
            yield
        except (SourceCorrupt, CodecNotAllowed) as error:
            fd = self._open(path)
            try:
                unchanged = versions.unchanged(fd, version)
            finally:
                os.close(fd)
            if unchanged:
                raise error.about(path) from None
            raise self._stale(path) from None


@contextlib.contextmanager
def _naming(path: DatasetPath) -> Iterator[None]:
    """Put the dataset's path in front of what is wrong with it."""
    try:
        yield
    except (SourceCorrupt, CodecNotAllowed) as error:
        raise error.about(path) from None
