"""HDF5 files whose process loads HDF5, so that this one does not."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from importlib import metadata
from pathlib import Path

from caterva2.hdf5 import superblock
from caterva2.isolation.file import IsolatedFile
from caterva2.isolation.kept_list import KeptList
from caterva2.isolation.process import CantStart, Target
from caterva2.isolation.reader import Reader
from caterva2.isolation.source import IsolatedSource
from caterva2.limits import DEFAULTS, Limits
from caterva2.sources.directory.containers import Format, Unavailable
from caterva2.version import __version__

MAKE = "caterva2.hdf5.source:for_isolation"
PACKAGES = ("h5py", "hdf5plugin", "blosc2", "numpy")
"""Packages whose versions decide which datasets of a file are served, and how."""
LIMITS = (
    "reply_bytes", "converted_bytes", "file_datasets", "text_items", "text_bytes", "text_time",
)  # fmt: skip
"""Of the group ``publisher``, those that concern the process."""


def missing() -> str:
    """Return what has to be installed to serve HDF5; empty if nothing has to be."""
    for name in ("h5py", "hdf5plugin"):
        if importlib.util.find_spec(name) is None:
            return f"HDF5 files need {name}: pip install 'caterva2[hdf5]'"
    return ""


def hdf5_format(directory: Path, limits: Limits = DEFAULTS) -> Format:
    """Return the format of HDF5 files below a directory; a package for it may be missing."""
    hint = missing()
    if hint:
        return Unavailable("HDF5", lambda fd: superblock.read(fd) is not None, hint)
    return IsolatedHdf5(directory, limits)


def isolated_hdf5(
    path: Path, limits: Limits = DEFAULTS, memory: Path | None = None
) -> IsolatedSource:
    """Open an HDF5 file in a process of its own.

    Parameters
    ----------
    path : Path
    limits : Limits, optional
        The groups ``publisher`` and ``isolation``.
    memory : Path, optional
        File in which its list is kept for the next start.
    """
    kept = KeptList(path, memory, _identity())
    room = limits.publisher.reply_bytes
    return IsolatedSource(_target(path, limits), limits.isolation, room, kept)


class IsolatedHdf5(Format):
    """HDF5 files below a directory: one process reads all of them, as long as there are some.

    Parameters
    ----------
    directory : Path
    limits : Limits, optional
        The groups ``publisher`` and ``isolation``.
    """

    name = "HDF5"

    def __init__(self, directory: Path, limits: Limits = DEFAULTS) -> None:
        self.identity = _identity()
        self._room = limits.publisher.reply_bytes
        self._reader = Reader(_target(directory.resolve(), limits), limits.isolation)
        self._met: set[str] = set()
        self._resting = threading.Lock()
        """Held while the process ends, so that no file is met for it then."""

    @property
    def pid(self) -> int:
        """The process that reads now."""
        return self._reader.running().pid

    def recognises(self, path: str, fd: int) -> bool:
        if superblock.read(fd) is None:
            return False
        with self._resting:
            self._met.add(path)
        return True

    def open(self, path: str) -> IsolatedFile:
        return IsolatedFile(self._reader, path, self._room)

    def forget(self, path: str) -> None:
        self._reader.forget(path)
        with self._resting:
            self._met.discard(path)
            if not self._met:
                self._reader.rest()

    def warm_up(self) -> None:
        from caterva2.isolation import extents  # noqa: F401 - loads numpy

        with contextlib.suppress(CantStart):  # the first read says why
            self._reader.running()

    def close(self) -> None:
        self._reader.close()


def _identity() -> str:
    packages = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    return ", ".join([f"caterva2 {__version__}", *packages])


def _target(path: Path, limits: Limits) -> Target:
    given = {name: getattr(limits.publisher, name) for name in LIMITS}
    return Target(MAKE, path, given)
