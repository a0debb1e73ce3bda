"""The list of a file that is a root, kept for the next process that serves it."""

from __future__ import annotations

import os
from pathlib import Path

from caterva2.isolation.damage import Stamp
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.sources.directory.mounts import Look
from caterva2.sources.directory.seen import AGE, Seen
from caterva2.sources.versions import Version

List = dict[DatasetPath, Entry]
_FILE = DatasetPath("file")
"""Stands for the file, whose own name may be no path of a dataset."""


class KeptList:
    """Keeps the list of one version of a file, by its stamp.

    Parameters
    ----------
    path : Path
        The file.
    memory : Path, optional
        File in which `save` leaves the list, as `Seen` does with those of a directory's files.
    identity : str, optional
        What else the list depends on, such as versions of libraries.
    age : float, optional
        Seconds since the file's last change from which on a list is kept.
    """

    def __init__(
        self, path: Path, memory: Path | None = None, identity: str = "", *, age: float = AGE
    ) -> None:
        self._path = path
        self._seen = Seen(path, memory, formats=[identity], age=age)

    def get(self) -> List | None:
        """Return the list of the version that is there now, None if it is not known."""
        known = self._seen.known(_FILE, os.path.realpath(self._path))
        return None if known is None else {entry.path: entry for entry in known.look.entries}

    def is_settled(self, stamp: Stamp) -> bool:
        """Whether any further change of the file would have another stamp."""
        return len(stamp) == 4 and self._seen.is_settled(_version(stamp))

    def put(self, stamp: Stamp, found: List) -> None:
        """Keep the list of a version that was settled before it was listed."""
        version = _version(stamp)
        entry = Entry(_FILE, "file", "-", version.size, version.mtime)
        self._seen.note(entry, version, Look("list", tuple(found.values())))

    def drop(self) -> None:
        """Forget the list."""
        self._seen.drop(_FILE)

    def save(self) -> None:
        """Leave the list to the next process. Blocks."""
        self._seen.save()


def _version(stamp: Stamp) -> Version:
    inode, size, modified, changed = stamp
    return Version("", size, modified / 1e9, (inode, size, modified, changed), b"", b"")
