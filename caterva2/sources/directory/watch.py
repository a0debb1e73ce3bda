"""Watching a directory for changes, by inotify where it can and by looking where it can't."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator

from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.sources.base import ALL
from caterva2.sources.directory import inotify
from caterva2.sources.directory.links import Links

log = logging.getLogger(__name__)
MANY_HINTS = 1000
"""Hints at once from which on a scan of everything is cheaper than a scan of each."""


def changes(
    root: str,
    links: Links,
    stop: threading.Event,
    limits: PublisherLimits = DEFAULTS.publisher,
) -> Iterator[set[str]]:
    """Yield scopes of a directory in which something may have changed, see `Source.changes`.

    Parameters
    ----------
    root : str
        Absolute, without links.
    links : Links
        The links below it: a path is hinted at when something that it leads through changes.
    stop : threading.Event
    limits : PublisherLimits, optional

    Raises
    ------
    OSError, RuntimeError
        If the system can't watch it now, or reports something that can't be read.
    """
    watch = _Watch(root, links, limits)
    try:
        yield from watch.scopes(stop, [root])
    except PermissionError as error:
        # A recursive watch ends at the first directory that can't be read.
        log.warning("directories that can't be read are not watched: %s", error)
    while not stop.is_set():
        places = readable(root)
        for scopes in watch.scopes(stop, places, recursive=False):
            yield scopes
            seen_directory = any(os.path.isdir(f"{root}/{scope}") for scope in scopes)
            if seen_directory and places != readable(root):
                break  # watch what is new, too


def polled(stop: threading.Event, pause: float) -> Iterator[set[str]]:
    """Yield the scope of everything every ``pause`` seconds, without a watch."""
    while not stop.wait(pause):
        yield {ALL}


def readable(root: str) -> list[str]:
    """List the directories of a tree that can be read and entered, without hidden ones."""
    found = []
    for place, names, _ in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".")]
        if os.access(place, os.R_OK | os.X_OK):
            found.append(place)
    return sorted(found)


class _Watch:
    """The watch of one directory tree, with the time of its next full scan."""

    def __init__(self, root: str, links: Links, limits: PublisherLimits) -> None:
        self._root = root
        self._links = links
        self._every = limits.full_scan
        self._next_full = time.monotonic() + self._every

    def scopes(
        self,
        stop: threading.Event,
        places: list[str],
        *,
        recursive: bool = True,
    ) -> Iterator[set[str]]:
        again = {ALL}  # what changed between the last scan and the begin of the watch
        for found in inotify.watch(places, stop, recursive=recursive):
            changed = {os.path.relpath(path, self._root) for path in found}
            hints = {shown for path in changed for shown in self._links.shown(path)}
            scopes = hints | again
            # A file in a new directory that is not watched yet goes unseen: scan it twice.
            again = {scope for scope in hints if os.path.isdir(f"{self._root}/{scope}")}
            everything = ALL in scopes or "." in scopes or len(scopes) > MANY_HINTS
            if everything or time.monotonic() >= self._next_full:
                self._next_full = time.monotonic() + self._every
                yield {ALL}
            elif scopes:
                yield scopes
