"""Zip files: their members, bounded before they are read, as objects in folders."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterable

from caterva2.errors import BadName, SourceCorrupt
from caterva2.formats import zip_directory
from caterva2.names import DatasetPath
from caterva2.stores.store import Stamp

MEMBERS = 2**18
"""Members of a zip: what is known of each takes 1 KiB of memory."""
DIRECTORY_BYTES = 2**26
"""Bytes of its directory."""
BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError,
    ValueError, OSError, OverflowError,
)  # fmt: skip
"""What reading a damaged zip raises."""
Tree = dict[str, tuple[dict[str, Stamp], list[str]]]
"""Objects and folders right below each folder."""


def opened(fd: int) -> zipfile.ZipFile:
    """Open the zip in an open file, which may be closed afterwards.

    Raises
    ------
    SourceCorrupt
        If it is no zip, or has too many members. Others of `BROKEN` are raised as they are.
    """
    with os.fdopen(os.dup(fd), "rb") as file:
        found = zip_directory.size(file)
    if found is None:
        raise SourceCorrupt("it is not a zip file")
    if found.members > MEMBERS or found.nbytes > DIRECTORY_BYTES:
        raise SourceCorrupt(f"the zip has {found.members} members, more than {MEMBERS}")
    archive = zipfile.ZipFile(f"/proc/self/fd/{fd}")
    if len(archive.infolist()) > MEMBERS:
        archive.close()
        raise SourceCorrupt(f"the zip has more than {MEMBERS} members")
    return archive


def names(fd: int) -> list[str]:
    """Return the names in the zip in an open file; none if it can't be read, or is no zip."""
    if not os.pread(fd, 4, 0).startswith(zip_directory.MAGIC):
        return []
    try:
        with os.fdopen(os.dup(fd), "rb") as file:
            found = zip_directory.size(file)
            if found is None or not 0 <= found.nbytes <= DIRECTORY_BYTES or found.start < 0:
                return []
            return list(zip_directory.names(os.pread(fd, found.nbytes, found.start)))
    except BROKEN:
        return []


def tree(stamps: Iterable[tuple[str, Stamp]]) -> Tree:
    """Return members by their folders; names that no key of a store has are left out."""
    made: Tree = {}
    for name, stamp in stamps:
        try:
            path = DatasetPath(name)
        except BadName:
            continue
        above, _, own = path.rpartition("/")
        _folder(made, above)[0][own] = stamp
    return made


def _folder(made: Tree, path: str) -> tuple[dict[str, Stamp], list[str]]:
    """Return a folder, which is entered into those above it if it is new."""
    if path not in made:
        made[path] = {}, []
        if path:
            above, _, name = path.rpartition("/")
            _folder(made, above)[1].append(name)
    return made[path]
