"""Watching a file that is a whole root: its directory for changes, and its times."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from caterva2.sources import versions
from caterva2.sources.base import ALL
from caterva2.sources.directory import inotify

POLL = 0.05
"""Seconds between two looks at a file that changes, or whose directory is not watched."""
LOOK = 1.0
"""Seconds between two looks where no change is reported: of maps of files, and of other hosts."""
RESTLESS = 1.0
"""Seconds after which a file that is written all the time, or can't be listed, is scanned again."""


class WatchedFile:
    """Says when a file has to be scanned again.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scanned: tuple[int, ...] = ()
        self._failed = False

    def stamp(self) -> tuple[int, ...]:
        """Return what the file system says about the file's version; nothing if it is gone."""
        try:
            return versions.stamp(os.stat(self._path))
        except OSError:
            return ()

    def scanned(self, stamp: tuple[int, ...], *, failed: bool = False) -> None:
        """Note the version that was scanned last, and whether it has to be tried again."""
        self._scanned, self._failed = stamp, failed

    def is_scanned(self, stamp: tuple[int, ...]) -> bool:
        """Whether a version is the one that was scanned last, without a failure."""
        return stamp == self._scanned and not self._failed

    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        """Yield the whole root whenever the file may have changed, see `Source.changes`."""
        reported = seen = self._scanned
        since = time.monotonic()
        for _ in self._looks(stop):
            last, seen, now = seen, self.stamp(), time.monotonic()
            if seen == reported and not self._failed:
                since = now
                continue
            # Until it rests, look often.
            while not ((seen == last and not self._failed) or now - since > RESTLESS):
                if stop.wait(POLL):
                    return
                last, seen, now = seen, self.stamp(), time.monotonic()
            reported, since = seen, now
            yield {ALL}

    def _looks(self, stop: threading.Event) -> Iterator[object]:
        """Yield whenever something changed beside the file, or where links to it lead."""
        names = os.path.abspath(self._path), os.path.realpath(self._path)
        places = {os.path.dirname(name) for name in names}
        try:
            yield from inotify.watch(places, stop, recursive=False, idle=LOOK)
        except OSError:
            while not stop.wait(POLL):
                yield None
