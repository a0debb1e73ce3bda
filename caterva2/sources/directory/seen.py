"""Files that were looked at before, so that a scan opens only those that have changed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from pathlib import Path

from pydantic import TypeAdapter

from caterva2.model import Entry
from caterva2.runtime import batches
from caterva2.sources import versions
from caterva2.sources.versions import Version

log = logging.getLogger(__name__)
AGE = 2.0
"""Seconds since its last change from which on a file's times tell of the next one, whatever file
system it is on: some have no finer clock."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Tells one run of the machine from the next (Linux)."""
FORMAT = 1
"""Another one when the file, or what an etag is derived from, is another."""
_Known = tuple[int, Entry]
"""The hash of what the file system told of a file, and its entry."""
_BATCH = TypeAdapter(list[_Known])


class Seen:
    """The entries of files by their paths, and what the file system told of these.

    Parameters
    ----------
    root : str
        The directory that the files are in.
    memory : Path, optional
        File in which `save` leaves all this for the next process. It is of use until the machine
        starts anew: a loss of power can take content from files that keep their times.
    """

    def __init__(self, root: str, memory: Path | None = None) -> None:
        self._memory = memory
        self._origin = [FORMAT, root, _boot()]
        self._found: dict[str, _Known] = {}
        self._saved = True
        if memory is not None:
            self._read(memory)

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
        self._saved = False
        if time.time() - max(version.stamp[2:]) / 1e9 >= AGE:
            self._found[entry.path] = hash(version.stamp), entry
        else:
            self._found.pop(entry.path, None)

    def keep(self, paths: Collection[str]) -> None:
        """Forget all other files."""
        for path in self._found.keys() - paths:
            self._saved = False
            del self._found[path]

    # --- from one process to the next ---

    def save(self) -> None:
        """Leave all this to the next process, if it changed since it was saved. Blocks."""
        if self._memory is None or self._saved or not self._origin[-1]:
            return
        self._saved = True
        try:
            known = self._found.copy().values()  # as they are now: readers may note others
            records = ((mark, entry.fields()) for mark, entry in known)
            batches.write(self._memory, self._origin, records)
        except OSError as error:
            self._saved = False
            log.error("%s can't be written: %s", self._memory, error)

    def _read(self, memory: Path) -> None:
        try:
            saved = batches.read(memory)
            if next(saved) != self._origin:
                return
            for batch in saved:
                known = _BATCH.validate_python(batch)
                self._found |= {entry.path: (mark, entry) for mark, entry in known}
        except FileNotFoundError:
            pass
        except batches.UNREADABLE as error:
            log.warning("what was known of the files can't be used: %s: %s", memory, error)
            self._found.clear()


def _boot() -> str:
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""
