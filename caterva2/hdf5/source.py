"""An HDF5 file as a root: each of its datasets is the array ``GROUP/NAME.b2nd``."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caterva2.errors import (
    BadRequest,
    Busy,
    CatervaError,
    NotFound,
    SourceCorrupt,
    StaleVersion,
    TooLarge,
)
from caterva2.frames import blocks
from caterva2.frames.enclosed import until
from caterva2.frames.raw import Cut, Run
from caterva2.hdf5 import conversion, frames
from caterva2.hdf5.file import OPEN_TRIES, Hdf5File, Opened
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import DatasetInfo, Entry, EntryFields
from caterva2.names import DatasetPath
from caterva2.runtime.printable import printable
from caterva2.sources import conversions, versions
from caterva2.sources.base import ALL, NEVER, Source
from caterva2.sources.joined import joined
from caterva2.sources.located import Located
from caterva2.sources.versions import FilePlace
from caterva2.sources.watched_file import WatchedFile

log = logging.getLogger(__name__)
MOST_TOLD = 100
"""Lines in the log about what is left out of one file."""


class Hdf5Source(Source):
    """Serves the datasets of a file, converting only chunks that are not Blosc2 already.

    What HDF5 does with a damaged file is not in our hands, so services have it run in a process
    of its own, see `isolation`. A `scan` raises if the file can't be read now.

    Parameters
    ----------
    path : Path
    limits : PublisherLimits, optional
    visit : callable, optional
        Called with the path of each dataset or group that a scan comes to, before it is opened.
        If it raises, that is the reason why it is left out.
    below : str, optional
        Path of the file below ``path``, which is a directory then that it must not leave.
    """

    def __init__(
        self,
        path: Path,
        limits: PublisherLimits = DEFAULTS.publisher,
        visit: Callable[[str], None] = lambda _: None,
        below: str = "",
    ) -> None:
        self._limits = limits
        self._place = FilePlace(path, below)
        self._visit = visit
        self._lock = threading.Lock()
        self._current: Hdf5File | None = None
        self._watched = WatchedFile(self._place.path)
        self._told: set[tuple[str, str]] = set()
        self._is_more_told = False
        self._conversions = conversions.Conversions(limits.converted_bytes)

    def close(self) -> None:
        with self._lock:
            if self._current is not None:
                self._current.close()
                self._current = None

    def file(self) -> Hdf5File:
        """Return the current version of the file, open.

        Raises
        ------
        NotFound, SourceCorrupt, Busy
            If there is none, it can't be read as HDF5, or it is being written all the time.
        """
        with self._lock:
            if self._current is None or not self._current.is_current:
                if self._current is not None:
                    self._current.close()
                    self._current = None
                self._current = Hdf5File(self._place, self._limits)
            return self._current

    # --- listing ---

    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        for _ in range(OPEN_TRIES):
            try:
                rows = [row for batch in self.batches() for row in batch]
            except StaleVersion:
                continue
            entries = map(Entry.of, rows)
            below = scope + "/"
            return {
                entry.path: entry
                for entry in entries
                if not scope or entry.path == scope or entry.path.startswith(below)
            }
        raise Busy("the file is being written", after_ms=500)

    def batches(self) -> Iterator[list[EntryFields]]:
        """Yield the entries of all datasets, and of groups that have attributes, in batches.

        Raises
        ------
        StaleVersion
            If the file changed meanwhile, which makes void what was given until then.
        TooLarge
        """
        file, refused, count = self.file(), dict[str, str](), 0
        try:
            for part in file.parts(self._visit):
                refused |= part.refused
                count += len(part.rows)
                if count > (most := self._limits.file_datasets):
                    raise TooLarge(f"it has more than FILE_DATASETS, {most}, datasets")
                yield part.rows + part.described
        except SourceCorrupt:
            if file.is_current:
                raise
        if not file.is_current:
            raise StaleVersion("the file changed while it was listed")
        self._watched.scanned(file.version.stamp)
        self._tell(refused)

    def _tell(self, refused: dict[str, str]) -> None:
        """Log what is left out, and why, once each, and up to a number of them."""
        new = [each for each in refused.items() if each not in self._told]
        room = max(MOST_TOLD - len(self._told), 0)
        for name, reason in new[:room]:
            self._told.add((name, reason))
            shown = f"{self._place.below}/{name}" if self._place.below else name or "/"
            log.warning("%s is left out: it %s", printable(shown), printable(reason))
        if len(new) > room and not self._is_more_told:
            self._is_more_told = True
            log.warning("%s: %d more are left out", self._place.path, len(new) - room)

    # --- reading ---

    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        file = self._version(path, "")
        info = file.info(path)
        self._confirm(file, path)
        refused = file.refused.get(path, {})
        self._tell({f"{path}@{name}": reason for name, reason in refused.items()})
        return info

    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        file = self._version(path, etag)
        used = file.opened(path)
        yield from joined(
            ids,
            lambda n: self._chunk(file, path, used, n),
            lambda: self._confirm(file, path),
            self._limits.reply_bytes,
        )

    def located(self, path: DatasetPath, etag: str, ids: Sequence[int]) -> Located | None:
        """Return where the first of some chunks lie in the file, None if they are converted."""
        file = self._version(path, etag)
        used = file.opened(path)
        numbers = np.asarray(ids, np.int64)
        exist = (numbers >= 0) & (numbers < len(used.places))
        if used.layout.enclosure is None or not exist.all():
            return None
        places = used.places[numbers]
        stored = (places[:, 1] > 0) & (places[:, 2] == 0)
        found = places[: until(stored), :2].tolist()
        self._confirm(file, path)
        return Located(file.version.stamp, found, used.layout.enclosure)

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
                if layout.enclosure is not None:
                    raw = layout.enclosure.chunk(frame)
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
        key = file.etag_of(path), n
        used.converted += 1
        chunk = self._conversions.get(key)
        if chunk is None:
            with file.reading(path):
                values = conversion.values_of(used.dataset, used.layout, n)
            chunk = conversions.pack(values, used.layout)
            self._conversions.put(key, chunk)
        return chunk

    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        self._version(path, etag)
        raise BadRequest(f"{path} has no bytes of its own: it is no plain file")

    def _version(self, path: DatasetPath, etag: str) -> Hdf5File:
        """Return the file if the requested version of a dataset is current."""
        try:
            file = self.file()
        except (NotFound, SourceCorrupt, Busy) as error:
            raise error.about(path) from None
        file.check(path)
        if etag and file.etag_of(path) != etag:
            raise StaleVersion(f"{path} has changed", info={"etag": file.etag_of(path)})
        return file

    def _confirm(self, file: Hdf5File, path: DatasetPath) -> None:
        """Check that all bytes read until now are of the requested version."""
        if not (versions.unchanged(file.fd, file.version) and file.is_current):
            etag = self._version(path, "").etag_of(path)
            raise StaleVersion(f"{path} changed while it was read", info={"etag": etag})

    # --- watching ---

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        return self._watched.changes(stop)


def for_isolation(
    path: Path, visit: Callable[[str], None], below: str = "", **given: Any
) -> Hdf5Source:
    """Make the source in a process of its own, see `isolation`.

    Parameters
    ----------
    path : Path
    visit : callable
    below : str, optional
    **given : int or float
        Values of `PublisherLimits`.
    """
    return Hdf5Source(path, replace(DEFAULTS.publisher, **given), visit, below)
