"""Zip files: their members, bounded before they are read, as objects in folders."""

from __future__ import annotations

import itertools
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable

from caterva2.errors import BadName, SourceCorrupt
from caterva2.formats import zip_directory
from caterva2.formats.zip_directory import Member
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


def members(fd: int) -> tuple[list[Member], int]:
    """Return the members of the zip in an open file, and where its directory begins.

    Raises
    ------
    SourceCorrupt
        If it is no zip, or has too many members.
    """
    with os.fdopen(os.dup(fd), "rb") as file:
        found = zip_directory.find(file)
    if found.members > MEMBERS or found.nbytes > DIRECTORY_BYTES:
        raise SourceCorrupt(
            f"the zip has {found.members} members in {found.nbytes} bytes, more than"
            f" {MEMBERS} or {DIRECTORY_BYTES}"
        )
    directory = os.pread(fd, found.nbytes, found.start)
    return list(zip_directory.members(directory, found)), found.start


def names(fd: int) -> set[str]:
    """Return the names in the zip in an open file; none if it can't be read, or is no zip."""
    if not os.pread(fd, 4, 0).startswith(zip_directory.MAGIC):
        return set()
    try:
        with os.fdopen(os.dup(fd), "rb") as file:
            found = zip_directory.find(file)
        if found.nbytes > DIRECTORY_BYTES:
            return set()
        every = zip_directory.names(os.pread(fd, found.nbytes, found.start))
        return set(itertools.islice(every, MEMBERS))
    except (SourceCorrupt, OSError):
        return set()


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
