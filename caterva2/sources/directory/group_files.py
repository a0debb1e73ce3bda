"""Attributes of directories, in a hidden file that an import of HDF5 leaves in each of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from caterva2.errors import NotFound, SourceCorrupt, StaleVersion
from caterva2.frames import metadata
from caterva2.limits import constants
from caterva2.model import DatasetInfo, Entry
from caterva2.names import GROUP, DatasetPath, group_path
from caterva2.sources import versions
from caterva2.sources.kinds import group_info

GROUP_FILE = ".hdf5-attributes"
"""In msgpack: a map with ``values``, the attributes as in vlmeta, and perhaps ``attrs``, typed."""


@dataclass(frozen=True, slots=True)
class _Content:
    vlmeta: dict[str, bytes]
    attrs: dict[str, bytes]


def read(content: bytes) -> Any:
    """Return the map in the content of such a file.

    Raises
    ------
    SourceCorrupt
        If there is none.
    """
    found = metadata.decode(content)
    if not isinstance(found, dict) or not isinstance(found.get("values"), dict):
        raise SourceCorrupt(f"{GROUP_FILE} does not contain attributes")
    return found


class GroupFiles:
    """The attributes of the directories below a root.

    Parameters
    ----------
    root : str
        Absolute, without links.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def among(self, paths: Iterable[str]) -> dict[DatasetPath, Entry]:
        """Return the entries of the directories that hold some datasets and have attributes."""
        entries = (self.entry(group_path(directory)) for directory in _directories(paths))
        return {entry.path: entry for entry in entries if entry is not None}

    def entry(self, path: DatasetPath) -> Entry | None:
        """Return the entry of a directory, by its own path; None if it has no attributes."""
        try:
            fd = self._open(path)
        except NotFound:
            return None
        try:
            version = versions.of(fd)
        finally:
            os.close(fd)
        return Entry(path=path, kind="group", etag=version.etag, size=0, mtime=version.mtime)

    def info(self, path: DatasetPath) -> DatasetInfo:
        """Describe a directory, by its own path.

        Raises
        ------
        NotFound, SourceCorrupt, StaleVersion
        """
        fd = self._open(path)
        try:
            version = versions.settled(fd)
            content = os.pread(fd, constants.VLMETA_BYTES + 1, 0)
            if not versions.unchanged(fd, version):
                raise StaleVersion(f"{path} changed while it was read")
        finally:
            os.close(fd)
        try:
            return group_info(path, version.etag, version.mtime, attributes(read(content)))
        except (SourceCorrupt, ValueError, TypeError) as error:
            raise SourceCorrupt(f"{GROUP_FILE} can't be read: {error}", subject=path) from None

    def _open(self, path: DatasetPath) -> int:
        return versions.open_beneath(self._root, path.removesuffix(GROUP) + GROUP_FILE)


def scope_of(path: str) -> str:
    """Return the path of an entry that a changed file belongs to."""
    directory, _, name = path.rpartition("/")
    return group_path(directory) if name == GROUP_FILE else path


def _directories(paths: Iterable[str]) -> set[str]:
    found = {path.rpartition("/")[0] for path in paths}
    for directory in list(found):
        while directory:
            directory = directory.rpartition("/")[0]
            found.add(directory)
    return found


def attributes(found: Any) -> dict[str, bytes]:
    """Return the typed attributes of such a map, packed.

    Those that an older import wrote have the types of vlmeta.

    Raises
    ------
    SourceCorrupt
        If one of them is none.
    """
    # It imports numpy, which takes longer to load than all else; a listing needs none.
    from caterva2.frames import attributes as typed

    if isinstance(found.get("attrs"), dict):
        content = _Content({}, found["attrs"])
        typed.check(content)
        return content.attrs
    forms = typed.forms(_Content(found["values"], {}))
    return {name: typed.packed(form) for name, form in forms.items()}
