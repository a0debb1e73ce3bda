"""One version of an HDF5 file, open: its catalog, and the datasets that are in use."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import h5py
import hdf5plugin  # noqa: F401 - it brings its filters into HDF5
import numpy as np
import numpy.typing as npt

from caterva2 import limits
from caterva2.arrays import dtypes
from caterva2.errors import BadName, Busy, NotFound, SourceCorrupt, StaleVersion
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from caterva2.sources import versions
from caterva2.sources.hdf5 import attributes as hdf5attributes
from caterva2.sources.hdf5 import layout as hdf5layout
from caterva2.sources.hdf5.layout import DType, Layout
from caterva2.sources.hdf5.links import SUFFIX, Refused, walk

log = logging.getLogger(__name__)
OPEN_TRIES = 5
SAMPLES = 4
"""Stored chunks that are looked at to learn what a dataset's frames are like."""
OPEN_CHUNKS = limits.CHUNK_COUNT
"""Places of chunks that are kept in memory, of all datasets in use."""
_TUNING = f"{blosc2.__version__} {blosc2.compute_chunks_blocks((2**27,), dtype=np.dtype('f8'))}"
"""What the grids that Blosc2 chooses depend on, so that another choice is another version."""
ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
"""What h5py raises for a damaged file."""

# A file names its filters by number; which code that runs is not for the environment to say.
for _ in range(h5py.h5pl.size()):
    h5py.h5pl.remove(0)


@dataclass(slots=True)
class Opened:
    """A dataset in use.

    ``places`` tells for each chunk whether, where and how it is stored, if its chunks are
    Blosc2 frames: rows of offset, size, and the filters that were left out. ``passed`` and
    ``converted`` count the chunks that were served, of each way.
    """

    dataset: h5py.Dataset
    layout: Layout
    frames: bool
    places: npt.NDArray[np.int64]
    passed: int = 0
    converted: int = 0


class Hdf5File:
    """A version of a file.

    HDF5 is not for several threads at once: `lock` is held wherever it is called, and while
    nothing else is done.

    Parameters
    ----------
    path : Path

    Raises
    ------
    NotFound
        If there is no such file.
    SourceCorrupt
        If it can't be read as HDF5.
    Busy
        If it is being written all the time.
    """

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self.fd = _open(path)
        self._path = path
        self._in_use: Lru[DatasetPath, Opened] = Lru(
            OPEN_CHUNKS, lambda used: 1024 + len(used.places), keep_newest=True
        )
        self._names: dict[DatasetPath, tuple[h5py.Dataset, DType]] = {}
        self.entries: dict[DatasetPath, Entry] = {}
        self.refused: dict[str, str] = {}
        self.groups: list[h5py.Group] = []
        for _ in range(OPEN_TRIES):
            self.version = versions.settled(self.fd)
            try:
                self.file = _open_hdf5(path)
                self._list()
            except ERRORS as error:
                self._close_hdf5()
                if self.is_current:
                    log.warning("%s can't be read as HDF5: %s", path, error)
                    raise SourceCorrupt("the file can't be read as HDF5 now") from None
            if self.is_current:
                return
            self._close_hdf5()
            os.close(self.fd)
            self.fd = -1
            self.fd = _open(path)
        raise Busy("the file is being written", after_ms=500)

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            os.close(self.fd)

    @property
    def is_current(self) -> bool:
        """Whether the file at the path still is this version."""
        try:
            return versions.stamp(os.stat(self._path)) == self.version.stamp
        except OSError:
            return False

    def close(self) -> None:
        """Close HDF5's side, which must happen before the file is opened anew.

        HDF5 shares what it knows among all openings of a file. Our own descriptor stays for
        those who still read from it.
        """
        with self.lock:
            self._in_use.clear()
            self._names.clear()
            self.groups.clear()
            self._close_hdf5()

    def _close_hdf5(self) -> None:
        if hasattr(self, "file"):
            with contextlib.suppress(*ERRORS):
                self.file.close()

    # --- listing ---

    def _list(self) -> None:
        digest = hashlib.blake2b(f"{self.version.etag} {_TUNING}".encode(), digest_size=12)
        for former in (self._names, self.entries, self.refused, self.groups):
            former.clear()
        for item in walk(self.file):
            if isinstance(item.found, h5py.Group):
                self.groups.append(item.found)
                continue
            try:
                if item.found is None:
                    raise Refused(item.reason)
                path = DatasetPath(item.name + SUFFIX)
                self._names[path] = item.found, hdf5layout.check(self.file, item.found)
            except (Refused, BadName) as refused:
                self.refused[item.name] = refused.detail
            except ERRORS as error:
                self.refused[item.name] = f"can't be read: {error}"
            else:
                own = digest.copy()
                own.update(path.encode())
                self.entries[path] = Entry(
                    path=path, kind="array", etag=own.hexdigest(), mtime=self.version.mtime,
                    size=item.found.id.get_storage_size(),
                )  # fmt: skip

    def datasets(self) -> dict[DatasetPath, h5py.Dataset]:
        """The datasets that are served."""
        return {path: dataset for path, (dataset, _) in self._names.items()}

    def info(self, path: DatasetPath) -> DatasetInfo:
        """Describe a dataset."""
        used = self.opened(path)
        entry, layout = self.entries[path], used.layout
        with self.reading(path):
            attributes = hdf5attributes.read(used.dataset)
        for name, reason in attributes.refused.items():
            self.refused.setdefault(f"{path}@{name}", reason)
        try:
            return DatasetInfo(
                path=path, etag=entry.etag, mtime=entry.mtime, kind="array", shape=layout.shape,
                chunks=layout.chunks, blocks=layout.blocks,
                dtype=dtypes.describe(layout.dtype), typesize=layout.dtype.itemsize,
                chunksize=layout.chunksize, blocksize=layout.blocksize,
                nbytes=layout.chunksize * layout.nchunks, cbytes=entry.size,
                cparams=layout.cparams, vlmeta=attributes.packed,
            )  # fmt: skip
        except ValueError as error:
            reason = str(error).splitlines()[-2].strip()
            raise SourceCorrupt(f"its description makes no sense: {reason}", subject=path) from None

    # --- datasets in use ---

    def opened(self, path: DatasetPath) -> Opened:
        """A dataset with its layout.

        Raises
        ------
        NotFound
            If there is none of that path.
        """
        with self.lock:
            found = self._in_use.get(path)
            if found is None:
                found = self._open_dataset(path)
                self._in_use.put(path, found)
            return found

    def _open_dataset(self, path: DatasetPath) -> Opened:
        if path not in self._names:
            raise NotFound(f"{path} does not exist")
        with self.reading(path):
            dataset, dtype = self._names[path]
            frames = hdf5layout.BLOSC2 in hdf5layout.filter_codes(dataset)
            places = _places_of(dataset) if frames and dataset.size else np.empty((0, 3), np.int64)
            samples: list[bytes] = []
            if hdf5layout.as_stored(dataset, dtype):
                stored = np.flatnonzero((places[:, 1] > 0) & (places[:, 2] == 0))[:SAMPLES]
                samples = [self.pread(*places[n, :2].tolist()) for n in stored]
            layout = hdf5layout.layout(dataset, dtype, samples)
            return Opened(dataset, layout, frames, places)

    def pread(self, offset: int, size: int) -> bytes:
        """Bytes of the file, without HDF5."""
        data = os.pread(self.fd, size, offset)
        if len(data) != size:
            raise SourceCorrupt(f"the file ends at {offset + len(data)}, not {offset + size}")
        return data

    @contextlib.contextmanager
    def reading(self, path: DatasetPath) -> Iterator[None]:
        """Hold the lock, and tell what h5py raises in our own words."""
        try:
            with self.lock:
                yield
        except Refused as refused:
            raise SourceCorrupt(f"{path} {refused.detail}") from None
        except ERRORS as error:
            if not self.is_current:
                raise StaleVersion(f"{path} changed while it was read") from None
            log.warning("%s can't be read: %s", path, error)
            raise SourceCorrupt(f"{path} can't be read from its HDF5 file") from None


def _open(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NotFound(f"the file can't be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotFound("it is not a regular file")
    return fd


def _open_hdf5(path: Path) -> h5py.File:
    """Open a file beside whoever writes to it: without a lock, and as SWMR if it is written so."""
    given: dict[str, Any] = {"locking": False, "rdcc_nbytes": 0}
    try:
        return h5py.File(path, "r", **given)
    except OSError:
        return h5py.File(path, "r", swmr=True, libver="latest", **given)


def _places_of(dataset: h5py.Dataset) -> npt.NDArray[np.int64]:
    """Offset, size and left-out filters of all chunks; the size is 0 where none is stored."""
    grid = tuple(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
    places = np.zeros((int(np.prod(grid)), 3), np.int64)
    strides = [int(np.prod(grid[n + 1 :])) for n in range(len(grid))]

    def note(chunk: Any) -> None:
        where = [at // c for at, c in zip(chunk.chunk_offset, dataset.chunks, strict=True)]
        if all(i < n for i, n in zip(where, grid, strict=True)) and chunk.byte_offset is not None:
            n = sum(i * stride for i, stride in zip(where, strides, strict=True))
            places[n] = chunk.byte_offset, chunk.size, chunk.filter_mask

    dataset.id.chunk_iter(note)
    return places
