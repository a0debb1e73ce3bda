"""A zip file that holds a Zarr store."""

from __future__ import annotations

import os
import threading
import zipfile

from caterva2.errors import Busy, SourceCorrupt
from caterva2.formats.zip_directory import BOUNDED_METHODS
from caterva2.runtime import durable
from caterva2.sources import versions
from caterva2.sources.versions import FilePlace
from caterva2.stores import archive
from caterva2.stores.recognition import METADATA
from caterva2.stores.store import Stamp, Store, span


class ZipStore(Store):
    """Members of a zip file, by their checksums; the file may be replaced.

    Parameters
    ----------
    place : FilePlace

    Raises
    ------
    SourceCorrupt
        When it is used, if it is not a zip file, or has too many members.
    """

    def __init__(self, place: FilePlace) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.archive.close()
                self._opened = None

    def _current(self) -> _Opened:
        with self._lock:
            try:
                stamp = self._place.stamp()
                if self._opened is None or self._opened.stamp != stamp:
                    self._opened = _Opened(self._place)  # readers of the former one keep it
                return self._opened
            except SourceCorrupt as error:
                raise SourceCorrupt(f"{self._place.path} can't be read: {error.detail}") from None
            except archive.BROKEN as error:
                raise SourceCorrupt(f"{self._place.path} can't be read as a zip: {error}") from None

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
        begin, end = span(key, stamp.size, most, start, stop)
        info = opened.archive.getinfo(f"{folder}/{name}" if folder else name)
        if info.compress_type not in BOUNDED_METHODS:
            raise SourceCorrupt(
                f"{key} in {self._place.path.name} is packed by the method {info.compress_type},"
                " and not stored or deflated"
            )
        try:
            with opened.archive.open(info) as member:
                member.seek(begin)
                data = member.read(end - begin)
        except archive.BROKEN as error:
            raise SourceCorrupt(
                f"{key} can't be read from {self._place.path.name}: {error}"
            ) from None
        if not opened.is_unchanged:
            raise Busy(f"{self._place.path.name} is being written", after_ms=500)
        return data, stamp


class _Opened:
    """A version of the file, with its members in a tree."""

    def __init__(self, place: FilePlace) -> None:
        fd = place.open()
        try:
            self.stamp = versions.settled(fd).stamp
            members, _ = archive.members(fd)
            self.archive = zipfile.ZipFile(durable.path_of(fd))  # of as many members
        finally:
            os.close(fd)
        if not self.is_unchanged:
            raise Busy(f"{place.path} is being written", after_ms=500)
        self.tree = archive.tree(
            (member.name, Stamp(f"{member.crc:08x} {member.size}", member.size, 0.0))
            for member in members
        )
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
