"""One version of an HDF5 file, open: its contents, and the datasets that are in use."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - it brings its filters into HDF5
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5g, h5o

from caterva2.arrays.text import has_text
from caterva2.errors import Busy, NotFound, SourceCorrupt, StaleVersion
from caterva2.hdf5 import layout as hdf5layout
from caterva2.hdf5 import superblock
from caterva2.hdf5.description import describe, describe_group
from caterva2.hdf5.dimensions import Dimensions, has_no_variable
from caterva2.hdf5.headers import Headers
from caterva2.hdf5.layout import Checks, Layout
from caterva2.hdf5.links import ERRORS, SUFFIX, resolve, root_of
from caterva2.hdf5.listing import Contents, Lister
from caterva2.hdf5.text import Texts
from caterva2.limits import DEFAULTS, PublisherLimits, constants
from caterva2.model import DatasetInfo
from caterva2.names import GROUP, DatasetPath, is_group
from caterva2.runtime import durable
from caterva2.runtime.lru import Lru
from caterva2.sources import versions
from caterva2.sources.layout import TUNING, DType, Refused
from caterva2.sources.versions import FilePlace

log = logging.getLogger(__name__)
OPEN_TRIES = 5
SAMPLES = 4
"""Stored chunks that are looked at to learn what a dataset's frames are like."""
METADATA_BYTES = constants.MIB
"""Metadata that HDF5 keeps of each open file, which take up to 16 times as much memory; its own
choice is 32 MiB at most."""
DESCRIBED = 1000
"""Datasets of which is known why attributes are left out."""
OPEN_CHUNKS = constants.CHUNK_COUNT
"""Places of chunks that are kept in memory, of all datasets in use."""

# A file names its filters by number; which code that runs is not for the environment to say.
for _ in range(h5py.h5pl.size()):
    h5py.h5pl.remove(0)


_OPEN: weakref.WeakSet[Hdf5File] = weakref.WeakSet()
_OPENING = threading.Lock()
"""Held while a file is opened. HDF5 shares what it knows among all openings of a file, under
whatever names, so the former version has to be closed first."""


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
    place : FilePlace
    limits : PublisherLimits, optional

    Raises
    ------
    NotFound
        If there is no such file.
    SourceCorrupt
        If it can't be read as HDF5.
    Busy
        If it is being written all the time.
    """

    def __init__(self, place: FilePlace, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self.lock = threading.RLock()
        self.fd = place.open()
        self._place = place
        self._in_use: Lru[DatasetPath, Opened] = Lru(
            OPEN_CHUNKS, lambda used: 1024 + len(used.places), keep_newest=True
        )
        self._texts = Texts(limits)
        self.refused: Lru[DatasetPath, dict[str, str]] = Lru(DESCRIBED)
        """Why some of the attributes of datasets that were described last are left out."""
        for _ in range(OPEN_TRIES):
            self.version = versions.settled(self.fd)
            if self._open_version():
                return
            os.close(self.fd)
            self.fd = -1
            self.fd = place.open()
        raise Busy("the file is being written", after_ms=500)

    def _open_version(self) -> bool:
        """Open HDF5's side of the version; return whether it is current then."""
        with _OPENING:
            for other in list(_OPEN):
                if other.is_former(self.version):
                    other.close()
            try:
                self.file = _open_hdf5(self.fd)
                self._checks = Checks(self.file)
                self._dimensions = Dimensions(self.file)
            except (*ERRORS, SourceCorrupt) as error:
                self._close_hdf5()
                if self.is_current:
                    raise SourceCorrupt(f"the file can't be read as HDF5: {error}") from None
            if not self.is_current:
                self._close_hdf5()
                return False
            _OPEN.add(self)
        self._digest = hashlib.blake2b(f"{self.version.etag} {TUNING}".encode(), digest_size=12)
        return True

    def is_former(self, version: versions.Version) -> bool:
        """Whether this is another version of the file, which was written in place since."""
        own, other = self.version.stamp, version.stamp
        return own[0] == other[0] and own != other

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            os.close(self.fd)

    @property
    def is_current(self) -> bool:
        """Whether the file at the path still is this version."""
        return self._place.stamp() == self.version.stamp

    def close(self) -> None:
        """Close HDF5's side, which must happen before the file is opened anew.

        HDF5 shares what it knows among all openings of a file. Our own descriptor stays for
        those who still read from it.
        """
        with self.lock:
            self._in_use.clear()
            self._close_hdf5()

    def _close_hdf5(self) -> None:
        if hasattr(self, "file"):
            with contextlib.suppress(*ERRORS):
                self.file.close()

    # --- listing ---

    def parts(self, visit: Callable[[str], None] = lambda _: None) -> Iterator[Contents]:
        """Yield the contents of the file in parts, so that no listing has to be held whole.

        Parameters
        ----------
        visit : callable, optional
            Called before each dataset or group, see `links.walk`.

        Raises
        ------
        SourceCorrupt
            If it can't be listed at all, as when it changes meanwhile.
        """
        headers = Headers(self.fd, self.file)
        lister = Lister(self.file, headers, self._checks, self.version.mtime, self.etag_of)
        return lister.parts(self.lock, visit)

    def contents(self) -> Contents:
        """Return all contents of the file; raise as `parts` does."""
        made = Contents()
        for part in self.parts():
            made.add(part)
        return made

    def etag_of(self, path: str) -> str:
        """Return the version that a dataset has if it is in the file."""
        own = self._digest.copy()
        own.update(path.encode())
        return own.hexdigest()

    def check(self, path: DatasetPath) -> None:
        """Raise `NotFound` if there is no dataset or group of that path."""
        if is_group(path):
            self._group(path)
        else:
            self.opened(path)

    def info(self, path: DatasetPath) -> DatasetInfo:
        """Describe a dataset, or a group that has attributes."""
        etag, mtime = self.etag_of(path), self.version.mtime
        if is_group(path):
            group = self._group(path)
            with self.reading(path):
                info, refused = describe_group(group, path, etag, mtime)
        else:
            used = self.opened(path)
            with self.reading(path):
                info, refused = describe(
                    used.dataset, used.layout, self._dimensions, path, etag, mtime
                )
        with self.lock:
            self.refused.put(path, refused)
        return info

    # --- datasets in use ---

    def opened(self, path: DatasetPath) -> Opened:
        """Return a dataset with its layout.

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
        with self.reading(path):
            dataset, dtype = self._find(path)
            frames = hdf5layout.BLOSC2 in hdf5layout.filter_codes(dataset)
            places = _places_of(dataset) if frames and dataset.size else np.empty((0, 3), np.int64)
            stored = places[(places[:, 1] > 0) & (places[:, 2] == 0), :2].tolist()
            if has_text(dataset.dtype):
                dtype = self._texts.dtype(dataset, (self.pread(*place) for place in stored))
                # The grid may be another one, and all frames were validated.
                frames, places = False, places[:0]
            samples: list[bytes] = []
            if hdf5layout.as_stored(dataset, dtype):
                samples = [self.pread(*place) for place in stored[:SAMPLES]]
            layout = hdf5layout.layout(dataset, dtype, samples)
            return Opened(dataset, layout, frames, places)

    def _group(self, path: DatasetPath) -> Any:
        with self.reading(path):
            found = self._resolved(path.removesuffix(GROUP))
            if not isinstance(found, h5g.GroupID) or not h5o.get_info(found).num_attrs:
                raise NotFound(f"{path} does not exist")
            return found

    def _resolved(self, name: str) -> Any:
        """Return what a path in the file leads to, None if it leads to nothing."""
        root = root_of(self.file)
        try:
            return resolve(root, root, name.encode())
        except Refused:
            return None

    def _find(self, path: DatasetPath) -> tuple[h5py.Dataset, DType]:
        """Open a dataset by following the links of its path one by one."""
        found = self._resolved(path.removesuffix(SUFFIX))
        is_dataset = isinstance(found, h5d.DatasetID) and not has_no_variable(found)
        if not is_dataset or not path.endswith(SUFFIX):
            raise NotFound(f"{path} does not exist")
        try:
            return h5py.Dataset(found), self._checks.dtype(found)[0]
        except Refused as refused:
            raise NotFound(f"{path} is left out: it {refused.detail}") from None

    def pread(self, offset: int, size: int) -> bytes:
        """Bytes of the file, without HDF5."""
        data = os.pread(self.fd, size, offset)
        if len(data) != size:
            raise SourceCorrupt(f"the file ends at {offset + len(data)}, not {offset + size}")
        return data

    @contextlib.contextmanager
    def reading(self, path: DatasetPath) -> Iterator[None]:
        """Hold the lock, and raise what h5py raises as one of our errors."""
        try:
            with self.lock:
                yield
        except Refused as refused:
            raise SourceCorrupt(f"{path} {refused.detail}") from None
        except SourceCorrupt as error:
            raise error.about(path) from None
        except ERRORS as error:
            if not self.is_current:
                raise StaleVersion(f"{path} changed while it was read") from None
            log.warning("%s of %s can't be read: %s", path, self._place.path, error)
            name = self._place.path.name
            raise SourceCorrupt(f"{path} can't be read from {name}: {error}") from None


def _open_hdf5(fd: int) -> h5py.File:
    """Open a file beside its writers: without a lock, and as SWMR only if it is written so."""
    path = str(durable.path_of(fd))  # this very file, whatever its name leads to by now
    given: dict[str, Any] = {"locking": False, "rdcc_nbytes": 0}
    block = superblock.read(fd)
    if block is None:
        raise SourceCorrupt("it has no superblock")
    if block.has_swmr_writer:
        # The library would read what is missing again and again, with growing pauses.
        size = os.fstat(fd).st_size
        if size < block.end:
            raise SourceCorrupt(f"it is cut off, or grows now: {size} of {block.end} bytes")
        given |= {"swmr": True, "libver": "latest"}
    file = h5py.File(path, "r", **given)
    config = file.id.get_mdc_config()
    config.max_size = METADATA_BYTES
    file.id.set_mdc_config(config)
    return file


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
