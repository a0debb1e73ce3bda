"""A zip file whose members are read where they lie."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping

from caterva2.errors import BadName, Busy, SourceCorrupt
from caterva2.formats import zip_directory
from caterva2.formats.zip_directory import Member
from caterva2.names import check_path
from caterva2.sources import versions
from caterva2.sources.versions import FilePlace
from caterva2.stores import archive
from caterva2.stores.store import Stamp, Store, span


class StoredZip(Store):
    """Stored members of a zip file, all of which have another stamp when the file has.

    Parameters
    ----------
    place : FilePlace
    """

    def __init__(self, place: FilePlace) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def close(self) -> None:
        with self._lock:
            self._opened = None

    @property
    def refused(self) -> Mapping[str, str]:
        return self._current().refused

    def _current(self) -> _Opened:
        with self._lock:
            try:
                if self._opened is None or self._opened.version.stamp != self._place.stamp():
                    self._opened = _Opened(self._place)  # readers of the former one keep it
                return self._opened
            except archive.BROKEN as error:
                raise SourceCorrupt(f"it can't be read as a zip: {error}") from None

    def children(self, prefix: str) -> tuple[dict[str, Stamp], list[str]]:
        return self._current().tree.get(prefix, ({}, []))

    def read(
        self,
        key: str,
        most: int,
        start: int = 0,
        stop: int | None = None,
        expected: Stamp | None = None,
    ) -> tuple[bytes, Stamp] | None:
        opened = self._current()
        room = opened.rooms.get(key)
        if room is None:
            return None
        begin, end = span(key, room.member.size, most, start, stop)
        header = os.pread(opened.fd, zip_directory.LOCAL, room.member.offset)
        at = zip_directory.data_start(header, room)
        data = b"" if at is None else os.pread(opened.fd, end - begin, at + begin)
        if not versions.unchanged(opened.fd, opened.version):
            raise Busy("the zip is being written", after_ms=500)
        if at is None:
            raise SourceCorrupt(f"{key} is not where the directory of the zip says")
        return data, opened.stamp(room.member)


class _Opened:
    """A version of the file, with its members; closed when nothing refers to it any more."""

    def __init__(self, place: FilePlace) -> None:
        self.fd = place.open()
        self.version = versions.settled(self.fd)
        members, end = archive.members(self.fd)
        files = (member for member in members if not member.name.endswith("/"))
        self.rooms, self.refused = zip_directory.rooms(files, end)
        self.refused |= dict(_without_paths(self.rooms))
        self.tree = archive.tree(
            (name, self.stamp(room.member)) for name, room in self.rooms.items()
        )

    def stamp(self, member: Member) -> Stamp:
        text = f"{self.version.stamp} {member.offset} {member.size}"
        return Stamp(text, member.size, self.version.mtime)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


def _without_paths(names: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            check_path(name)
        except BadName as error:
            yield name, error.detail
