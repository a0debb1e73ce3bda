"""An HDF5 file as a root: each of its datasets is the array ``GROUP/NAME.b2nd``."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from caterva2.errors import (
    BadRequest,
    Busy,
    CatervaError,
    NotFound,
    SourceCorrupt,
    StaleVersion,
    StartError,
)
from caterva2.frames import blocks
from caterva2.frames.chunk import ChunkShape
from caterva2.frames.raw import Cut, Run
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.runtime.printable import printable
from caterva2.sources import versions
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.hdf5 import conversion, frames
from caterva2.sources.hdf5.file import Hdf5File, Opened

log = logging.getLogger(__name__)
POLL_S = 0.05
"""Seconds between two looks at the file's times."""
RESTLESS_S = 1.0
"""A file that is written all the time is announced this often."""


class Hdf5Source(Source):
    """Serves the datasets of a file, converting only chunks that are not Blosc2 already.

    Parameters
    ----------
    path : Path

    Raises
    ------
    StartError
        If it can't be read as HDF5.
    """

    def __init__(self, path: Path, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self._path = path
        self._limits = limits
        self._lock = threading.Lock()
        self._current: Hdf5File | None = None
        self._listed: dict[DatasetPath, Entry] = {}
        self._unlisted = False
        self._scanned: tuple[int, ...] = ()
        self._told: set[tuple[str, str]] = set()
        self._conversions = conversion.Conversions(limits.converted_bytes)
        try:
            self.file()
        except CatervaError as error:
            raise StartError(error.detail, subject=str(path)) from None

    def close(self) -> None:
        with self._lock:
            if self._current is not None:
                self._current.close()
                self._current = None

    def file(self) -> Hdf5File:
        """The current version of the file, open."""
        with self._lock:
            if self._current is None or not self._current.is_current:
                if self._current is not None:
                    self._current.close()
                    self._current = None
                self._current = Hdf5File(self._path)
            return self._current

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        try:
            file = self.file()
        except NotFound:
            self._listed, self._unlisted, self._scanned = {}, False, ()
        except (SourceCorrupt, Busy) as error:
            # It is likely to be written just now: what was there is not gone for good.
            log.warning("%s can't be listed: %s", self._path, error)
            self._unlisted = True
        else:
            self._listed, self._unlisted = dict(file.entries), False
            self._scanned = file.version.stamp
            self._tell(file)
        below = scope + "/"
        return {
            path: entry
            for path, entry in self._listed.items()
            if not scope or path == scope or path.startswith(below)
        }

    def _tell(self, file: Hdf5File) -> None:
        """Log what is left out, and why, once each."""
        for name, reason in list(file.refused.items()):
            if (name, reason) not in self._told:
                self._told.add((name, reason))
                log.warning("%s is left out: it %s", printable(name), printable(reason))

    # --- reading ---

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        file = self._version(path, "")
        info = file.info(path)
        self._confirm(file, path)
        self._tell(file)
        return info

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        file = self._version(path, etag)
        used = file.opened(path)
        pieces: dict[int, bytes] = {}
        room = self._limits.reply_bytes

        def joined() -> Run:
            self._confirm(file, path)
            sizes = [len(piece) for piece in pieces.values()]
            run = Run(list(pieces), sizes, b"".join(pieces.values()))
            pieces.clear()
            return run

        for n in ids:
            piece = self._chunk(file, path, used, n)
            if (pieces and len(piece) > room) or n in pieces:
                yield joined()
                room = self._limits.reply_bytes
            pieces[n] = piece
            room -= len(piece)
            del piece
        if pieces:
            yield joined()

    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        return blocks.cut_out_of(next(self.chunks(path, etag, [n])).payload, ids)

    def _chunk(self, file: Hdf5File, path: DatasetPath, used: Opened, n: int) -> bytes:
        layout = used.layout
        if not 0 <= n < layout.nchunks:
            raise NotFound(f"chunk {n} of {layout.nchunks} does not exist")
        try:
            if used.frames and used.places[n, 1] and not used.places[n, 2]:
                frame = file.pread(*used.places[n, :2].tolist())
                if layout.mask:
                    shape = ChunkShape.of("array", layout.dtype.itemsize, layout.blocksize)
                    raw = frames.raw_chunk(frame, layout.mask, shape, layout.chunksize)
                    if raw is not None:
                        used.passed += 1
                        return raw
                frames.gate(frame, math.prod(layout.chunks) * layout.dtype.itemsize)
            return self._converted(file, path, used, n)
        except CatervaError as error:
            self._confirm(file, path)
            if not error.detail.startswith(path):
                raise type(error)(f"chunk {n}: {error.detail}", subject=path) from None
            raise

    def _converted(self, file: Hdf5File, path: DatasetPath, used: Opened, n: int) -> bytes:
        key = file.entries[path].etag, n
        used.converted += 1
        chunk = self._conversions.get(key)
        if chunk is None:
            with file.reading(path):
                values = conversion.values_of(used.dataset, used.layout, n)
            chunk = conversion.pack(values, used.layout)
            self._conversions.put(key, chunk)
        return chunk

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        self._version(path, etag)
        raise BadRequest(f"{path} is an array: it has chunks, not bytes")

    def _version(self, path: DatasetPath, etag: str) -> Hdf5File:
        """The file, if a dataset of it still is a version."""
        try:
            file = self.file()
        except (NotFound, SourceCorrupt, Busy) as error:
            raise error.about(path) from None
        entry = file.entries.get(path)
        if entry is None:
            raise NotFound(f"{path} does not exist")
        if etag and entry.etag != etag:
            raise StaleVersion(f"{path} has changed", info={"etag": entry.etag})
        return file

    def _confirm(self, file: Hdf5File, path: DatasetPath) -> None:
        """Check that all bytes read until now are of the requested version."""
        if not (versions.unchanged(file.fd, file.version) and file.is_current):
            etag = self._version(path, "").entries[path].etag
            raise StaleVersion(f"{path} changed while it was read", info={"etag": etag})

    # --- watching ---

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        told = seen = self._scanned
        since = time.monotonic()
        while not stop.wait(POLL_S):
            last, seen, now = seen, self._stamp(), time.monotonic()
            if seen == told and not self._unlisted:
                since = now
            elif (seen == last and not self._unlisted) or now - since > RESTLESS_S:
                told, since = seen, now
                yield {ALL}

    def _stamp(self) -> tuple[int, ...]:
        try:
            return versions.stamp(os.stat(self._path))
        except OSError:
            return ()
