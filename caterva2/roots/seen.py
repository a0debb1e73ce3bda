"""Files that were looked at before, so that a scan opens only those that have changed."""

from __future__ import annotations

import os
import time
from collections.abc import Collection

from caterva2.model import Entry
from caterva2.roots import versions
from caterva2.roots.versions import Version

AGE = 2.0
"""Seconds since its last change from which on a file's times tell of the next one, whatever file
system it is on: some have no finer clock."""


class Seen:
    """The entries of files by their paths, and what the file system told of these."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, Entry]] = {}

    def entry(self, path: str, file: str) -> Entry | None:
        """The entry of a file that has not changed since it was noted."""
        known = self._found.get(path)
        if known is None:
            return None
        try:
            same = hash(versions.stamp(os.lstat(file))) == known[0]
        except OSError:
            same = False
        return known[1] if same else None

    def note(self, entry: Entry, version: Version) -> None:
        """Remember a file, unless it has changed so lately that it could again, unseen."""
        if time.time() - max(version.stamp[2:]) / 1e9 >= AGE:
            self._found[entry.path] = hash(version.stamp), entry
        else:
            self._found.pop(entry.path, None)

    def keep(self, paths: Collection[str]) -> None:
        """Forget all other files."""
        for path in self._found.keys() - paths:
            del self._found[path]
