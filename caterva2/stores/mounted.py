"""Stores within another source, by their places: what is in them is served below these."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from caterva2.errors import BadName, CatervaError
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.runtime.printable import printable
from caterva2.sources.base import Datasets
from caterva2.sources.directory.inside import Inside

log = logging.getLogger(__name__)
SCAN_SHARE = 20
"""A store whose scan takes long is scanned again that much later, unless it is asked for."""
Entries = dict[DatasetPath, Entry]


@dataclass(slots=True)
class _Mount:
    source: Datasets
    entries: Entries = field(default_factory=dict)
    due: float = 0.0
    problem: str = ""


class Mounted:
    """Scans stores, and finds what is in them; scanned by one thread at a time.

    Parameters
    ----------
    make : callable
        Returns the source of a store by its place, without reading anything.
    above : callable, optional
        Returns where the paths of its datasets begin, by its place; by default there. A store that
        is one dataset has the name of that, so that it is the directory around it.
    """

    def __init__(
        self, make: Callable[[str], Datasets], above: Callable[[str], str] = lambda place: place
    ) -> None:
        self._make = make
        self._above = above
        self._mounts: dict[str, _Mount] = {}

    def close(self) -> None:
        for mount in self._mounts.values():
            mount.source.close()

    def scan(self, place: str, *, now: bool = False) -> Entries:
        """Return the datasets in a store, those of the last scan if that is not long ago.

        While it can't be listed, the last list stands, and the log says why.

        Parameters
        ----------
        place : str
        now : bool
            Whether it is scanned in any case.
        """
        mount = self._mounts.get(place)
        if mount is None:
            mount = self._mounts[place] = _Mount(self._make(place))
        began = time.monotonic()
        if not now and began < mount.due:
            return mount.entries
        try:
            mount.entries = _moved(self._above(place), mount.source.scan())
            mount.problem = ""
        except CatervaError as error:
            if error.detail != mount.problem:
                mount.problem = error.detail
                log.warning("%s", printable(f"{place or 'the store'} can't be listed: {error}"))
        ended = time.monotonic()
        mount.due = ended + SCAN_SHARE * (ended - began)
        return mount.entries

    def keep(self, places: Collection[str], scope: str = "") -> None:
        """Close all other stores of a scope."""
        for place in [*self._mounts]:
            inside = not scope or place == scope or place.startswith(scope + "/")
            if inside and place not in places:
                self.drop(place)

    def drop(self, place: str) -> None:
        """Close a store; a later scan makes it anew."""
        former = self._mounts.pop(place, None)
        if former is not None:
            former.source.close()

    def find(self, path: DatasetPath) -> Inside | None:
        """Return what a path leads to in a store; None if it leads into none."""
        for place in _places(path) if self._mounts else ():
            mount, above = self._mounts.get(place), self._above(place)
            if mount is not None and above != path:
                return Inside(mount.source, above, path, functools.partial(self._doubt, place))
        return None

    def _doubt(self, place: str, path: DatasetPath, etag: str) -> None:
        """Have a store scanned the next time, since it has another version of a dataset."""
        mount = self._mounts.get(place)
        if mount is not None:
            mount.due = 0.0


def _places(path: str) -> Iterator[str]:
    """Yield the places that a path may lead into, the outermost first, and the path itself."""
    end = 0
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)
    yield path


def _moved(place: str, found: Entries) -> Entries:
    moved = {}
    for path, entry in found.items():
        try:
            full = DatasetPath(f"{place}/{path}" if place else path)
        except BadName:
            log.warning("%s", printable(f"{place}/{path} is left out: its path is too long"))
            continue
        moved[full] = replace(entry, path=full)
    return moved
