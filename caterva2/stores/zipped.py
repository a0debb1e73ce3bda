"""A zip file that holds a Zarr store."""

from __future__ import annotations

import os
import struct
import threading
import zipfile
import zlib
from pathlib import Path

from caterva2.errors import BadName, Busy, SourceCorrupt
from caterva2.formats import zip_directory
from caterva2.names import DatasetPath
from caterva2.sources import versions
from caterva2.stores.recognition import METADATA
from caterva2.stores.store import Stamp, Store, too_large

MEMBERS = 2**18
"""Members of a zip: what is known of each takes 1 KiB of memory."""
DIRECTORY_BYTES = 2**26
"""Bytes of its directory."""
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError,
    ValueError, OSError, OverflowError,
)  # fmt: skip
Tree = dict[str, tuple[dict[str, Stamp], list[str]]]


class ZipStore(Store):
    """Members of a zip file, by their checksums; the file may be replaced.

    Parameters
    ----------
    path : Path

    Raises
    ------
    SourceCorrupt
        If it is not a zip file, or has too many members.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._current()

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.archive.close()
                self._opened = None

    def _current(self) -> _Opened:
        with self._lock:
            try:
                stamp = versions.stamp(os.stat(self._path))
                if self._opened is None or self._opened.stamp != stamp:
                    self._opened = _Opened(self._path)  # readers of the former one keep it
                return self._opened
            except _BROKEN as error:
                raise SourceCorrupt(f"{self._path} can't be read as a zip: {error}") from None

    @property
    def is_zarr(self) -> bool:
        """Whether there is the metadata of a group or array at its top."""
        return not self._current().top.isdisjoint(METADATA)

    def children(self, prefix: str) -> tuple[dict[str, Stamp], list[str]]:
        opened = self._current()
        return opened.tree.get(f"{opened.prefix}/{prefix}".strip("/"), ({}, []))

    def read(
        self,
        key: str,
        most: int,
        start: int = 0,
        stop: int | None = None,
        expected: Stamp | None = None,
    ) -> tuple[bytes, Stamp] | None:
        opened = self._current()
        folder, _, name = f"{opened.prefix}/{key}".strip("/").rpartition("/")
        stamp = opened.tree.get(folder, ({}, []))[0].get(name)
        if stamp is None:
            return None
        begin = max(0, stamp.size + start) if start < 0 else min(start, stamp.size)
        end = stamp.size if stop is None else min(stop, stamp.size)
        if end - begin > most:
            raise too_large(key, end - begin, most)
        try:
            with opened.archive.open(f"{folder}/{name}" if folder else name) as member:
                member.seek(begin)
                data = member.read(max(0, end - begin))
        except _BROKEN as error:
            raise SourceCorrupt(f"{key} can't be read from {self._path.name}: {error}") from None
        if not opened.is_unchanged:
            raise Busy(f"{self._path.name} is being written", after_ms=500)
        return data, stamp


class _Opened:
    """A version of the file, with its members in a tree."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            version = versions.settled(file.fileno())
            found = zip_directory.size(file)
        if found is None:
            raise SourceCorrupt(f"{path} is not a zip file")
        if found[0] > MEMBERS or found[1] > DIRECTORY_BYTES:
            raise SourceCorrupt(f"{path} has {found[0]} members, more than {MEMBERS}")
        self.stamp = version.stamp
        self.archive = zipfile.ZipFile(path)
        if not self.is_unchanged:
            raise Busy(f"{path} is being written", after_ms=500)
        self.tree = self._tree()
        files, folders = self.tree.get("", ({}, []))
        alone = not files.keys() & {*METADATA} and len(folders) == 1
        self.prefix = folders[0] if alone else ""

    @property
    def top(self) -> set[str]:
        """Names at the top of the store."""
        return {*self.tree.get(self.prefix, ({}, []))[0]}

    @property
    def is_unchanged(self) -> bool:
        assert self.archive.fp is not None
        return versions.stamp(os.fstat(self.archive.fp.fileno())) == self.stamp

    def _tree(self) -> Tree:
        tree: Tree = {}
        if len(self.archive.infolist()) > MEMBERS:
            raise SourceCorrupt(f"the zip has more than {MEMBERS} members")
        for member in self.archive.infolist():
            try:
                path = DatasetPath(member.filename)
            except BadName:
                continue  # a directory, or a name that no key of a store has
            folder, _, name = path.rpartition("/")
            stamp = Stamp(f"{member.CRC:08x} {member.file_size}", member.file_size, 0.0)
            _folder(tree, folder)[0][name] = stamp
        return tree


def _folder(tree: Tree, path: str) -> tuple[dict[str, Stamp], list[str]]:
    """Return a folder, which is entered into those above it if it is new."""
    if path not in tree:
        tree[path] = {}, []
        if path:
            above, _, name = path.rpartition("/")
            _folder(tree, above)[1].append(name)
    return tree[path]
