"""Files of a directory that hold trees of python-blosc2 or Zarr stores.

They are recognised by their content, without the modules that read them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from caterva2.errors import CatervaError, NotFound
from caterva2.formats.blosc2_trees import MARKS
from caterva2.frames import layout
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.runtime.lru import Lru
from caterva2.sources import versions
from caterva2.sources.base import Datasets
from caterva2.sources.directory.containers import Format
from caterva2.sources.directory.plugged import Plugged
from caterva2.sources.versions import FilePlace
from caterva2.stores import archive
from caterva2.stores.recognition import METADATA, is_sparse, is_tree
from caterva2.version import __version__

if TYPE_CHECKING:
    from caterva2.stores.sparse.source import OpenFrames
    from caterva2.stores.trees.source import TreeFrames

OPENED = 32
"""Containers of a form that stay open; each of them holds a file and what is known of it."""
Make = Callable[[Path, str, PublisherLimits], Datasets]


class StoreFormat(Format):
    """Containers of one form below a directory, each of which is opened when it is first used.

    Parameters
    ----------
    name : str
    recognises : callable
        Says of a descriptor whether a container of the form is there.
    make : callable
        Returns what is in the container of a path below the directory, without reading it.
    directory : Path
    limits : PublisherLimits
    """

    identity = f"caterva2 {__version__}"

    def __init__(
        self,
        name: str,
        recognises: Callable[[int], bool],
        make: Make,
        directory: Path,
        limits: PublisherLimits,
    ) -> None:
        self.name = name
        self._recognises = recognises
        self._make = make
        self._directory = directory.resolve()
        self._limits = limits
        self._lock = threading.Lock()
        # One that is dropped closes its file when its last reader lets go of it.
        self._opened: Lru[str, Datasets] = Lru(OPENED)

    def recognises(self, path: str, fd: int) -> bool:
        return self._recognises(fd)

    def open(self, path: str) -> Datasets:
        with self._lock:
            found = self._opened.get(path)
            if found is None:
                found = self._make(self._directory, path, self._limits)
                self._opened.put(path, found)
            return found

    def forget(self, path: str) -> None:
        with self._lock:
            found = self._opened.pop(path)
        if found is not None:
            found.close()

    def close(self) -> None:
        for path in list(self._opened):
            self.forget(path)


def store_formats(
    directory: Path,
    limits: PublisherLimits = DEFAULTS.publisher,
    *,
    zarr: bool = True,
    plugged: Plugged | None = None,
) -> list[Format]:
    """Return the formats of files below a directory, without those of Zarr if it is not wanted."""
    trees, zips = Trees(plugged), _ZipKinds()
    made: list[tuple[str, Callable[[int], bool], Make]] = [
        ("Blosc2 zip", zips.is_tree, trees.of_zip),
        ("Blosc2 embedded", _is_embedding, trees.of_frame),
    ]
    if zarr:
        made.append(("Zarr zip", zips.is_zarr, _zarr_zip))
    return [StoreFormat(*one, directory, limits) for one in made]


def store_at(
    path: Path,
    limits: PublisherLimits = DEFAULTS.publisher,
    plugged: Plugged | None = None,
    name: str = "",
) -> Datasets | None:
    """Return what is in the tree, or the sparse frame, that is at a path; None if there is none.

    ``plugged`` is of the directory around it, and ``name`` is that of a sparse frame's dataset, by
    default that of the directory.
    """
    place, trees = path.resolve(), Trees(plugged)
    if place.is_dir():
        if is_tree(place):
            return trees.of_directory(place, place.name, limits)
        frames = SparseFrames(plugged)
        return frames.of_directory(place, name or place.name, limits) if is_sparse(place) else None
    try:
        fd = FilePlace(place).open()
    except NotFound:
        return None
    try:
        if _ZipKinds().is_tree(fd):
            return trees.of_zip(place.parent, place.name, limits)
        return trees.of_frame(place.parent, place.name, limits) if _is_embedding(fd) else None
    finally:
        os.close(fd)


# --- by their content ---


class _ZipKinds:
    """What zip files are; one that several formats look at in turn is read once."""

    def __init__(self) -> None:
        self._last: tuple[tuple[int, ...], bool, bool] = ((), False, False)

    def is_tree(self, fd: int) -> bool:
        """Return whether a zip holds a tree."""
        return self._of(fd)[1]

    def is_zarr(self, fd: int) -> bool:
        """Return whether a zip has the metadata of Zarr at its top, or in its only folder."""
        return self._of(fd)[2]

    def _of(self, fd: int) -> tuple[tuple[int, ...], bool, bool]:
        status, last = os.fstat(fd), self._last
        stamp = status.st_dev, *versions.stamp(status)
        if last[0] != stamp:
            names = archive.names(fd)
            last = self._last = stamp, not MARKS.isdisjoint(names), _is_zarr(names)
        return last


def _is_zarr(names: Collection[str]) -> bool:
    folders = {name.partition("/")[0] for name in names}
    above = f"{folders.pop()}/" if len(folders) == 1 else ""
    return any(each in names or above + each in names for each in METADATA)


def _is_embedding(fd: int) -> bool:
    try:
        length = layout.header_length(os.pread(fd, layout.HEADER_MIN, 0))
        header = layout.parse_header(os.pread(fd, length, 0))
    except CatervaError:
        return False
    return "b2embed" in header.metalayers


# --- what is in them ---


class Trees:
    """Opens trees, which share the frames that stay open and what the log has said of them.

    Parameters
    ----------
    plugged : Plugged, optional
        Reads leaves that need plugins of Blosc2, by the places of their trees.
    """

    def __init__(self, plugged: Plugged | None = None) -> None:
        self._plugged = plugged
        self._lock = threading.Lock()
        self._frames: TreeFrames | None = None

    def _shared(self, limits: PublisherLimits) -> TreeFrames:
        from caterva2.stores.trees.source import TreeFrames  # it loads Blosc2 and numpy

        with self._lock:
            if self._frames is None:
                self._frames = TreeFrames(limits)
            return self._frames

    def of_zip(self, directory: Path, path: str, limits: PublisherLimits) -> Datasets:
        """Return the tree in a zip file."""
        from caterva2.stores.stored_zip import StoredZip
        from caterva2.stores.trees.source import TreeSource

        store = StoredZip(FilePlace(directory, path))
        return TreeSource(store, path, self._shared(limits), self._leaves(path))

    def of_frame(self, directory: Path, path: str, limits: PublisherLimits) -> Datasets:
        """Return the tree whose leaves are embedded in a frame."""
        from caterva2.stores.store import DirectoryStore
        from caterva2.stores.trees.source import TreeSource, embedded_in

        frames = self._shared(limits)
        store = embedded_in(DirectoryStore(directory), path, frames.reader)
        return TreeSource(store, path, frames, self._leaves(path))

    def of_directory(self, directory: Path, place: str, limits: PublisherLimits) -> Datasets:
        """Return the tree that a directory is, by its place for the log."""
        from caterva2.stores.store import DirectoryStore
        from caterva2.stores.trees.source import TreeSource

        store = DirectoryStore(directory)
        return TreeSource(store, place, self._shared(limits), self._leaves(place))

    def _leaves(self, place: str) -> Datasets | None:
        return _chunks_of(self._plugged, place)


def _chunks_of(plugged: Plugged | None, place: str) -> Datasets | None:
    return plugged.open(place) if plugged is not None else None


class SparseFrames:
    """Opens sparse frames, of which the most recently used stay open.

    Parameters
    ----------
    plugged : Plugged, optional
        Reads those that need plugins, by their places.
    """

    def __init__(self, plugged: Plugged | None = None) -> None:
        self._plugged = plugged
        self._lock = threading.Lock()
        self._open: OpenFrames | None = None

    def of_directory(self, directory: Path, place: str, limits: PublisherLimits) -> Datasets:
        """Return the frame that a directory is, as the dataset of its name."""
        from caterva2.stores.sparse.source import OpenFrames, SparseSource  # it loads Blosc2

        with self._lock:
            if self._open is None:
                self._open = OpenFrames(limits)
        return SparseSource(directory, place, self._open, _chunks_of(self._plugged, place))


def _zarr_zip(directory: Path, path: str, limits: PublisherLimits) -> Datasets:
    from caterva2.stores.zarr.source import ZarrSource
    from caterva2.stores.zipped import ZipStore

    name = Path(path).stem
    return ZarrSource(ZipStore(FilePlace(directory, path)), name, limits)
