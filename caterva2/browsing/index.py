"""The paths of a catalog in order: one level of it costs what is on this level.

An index never changes, so that threads may read it; a changed catalog gets another one.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from caterva2.model import Entry
from caterva2.names import GROUP, SORTED_AT_ONCE, DatasetPath, is_group
from caterva2.runtime.lru import Lru

_LEVELS: Final = 8
"""Directories whose members are kept for their next pages."""
_GROUP: Final = f"/{GROUP}"
_BEHIND: Final = chr(ord("/") + 1)
"""In place of the slash behind a directory it makes what follows all paths below."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A directory on a level: its name, the datasets below it, and their stored bytes."""

    name: str
    datasets: int
    size: int


@dataclass(frozen=True, slots=True)
class Level:
    """A page of a level: directories, then datasets, each in order.

    ``after`` stands for the last one of them, None on the last page; a directory has a slash there.
    """

    branches: Sequence[Branch]
    paths: Sequence[DatasetPath]
    branch_count: int
    dataset_count: int
    after: str | None


@dataclass(frozen=True, slots=True)
class _Members:
    """All members of a directory."""

    branches: list[Branch]
    paths: list[DatasetPath]


class Index:
    """The paths of a catalog in order, with those of the descriptions of directories.

    Parameters
    ----------
    paths : list of DatasetPath
        In order.
    sizes : array of float
        Stored bytes of each.
    groups : list of DatasetPath
        Those of the paths that are descriptions of directories, in order.
    holding : frozenset of str, optional
        Datasets below which others lie, if these are known.
    """

    def __init__(
        self,
        paths: list[DatasetPath],
        sizes: array[float],
        groups: list[DatasetPath],
        holding: frozenset[str] | None = None,
    ) -> None:
        self.paths = paths
        self._sizes = sizes
        self._groups = groups
        self._holding = self._containers() if holding is None else holding
        self._sums = array("d", itertools.accumulate(sizes, initial=0.0))
        self._outer = self._outer_sums() if self._holding else self._sums
        self._levels: Lru[str, _Members] = Lru(_LEVELS)
        self._lock = threading.Lock()

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Index:
        """Make the index of a catalog, possibly of millions: call this in a thread."""
        ordered = _in_order(entries)
        paths = [entry.path for entry in ordered]
        sizes = array("d", [entry.size for entry in ordered])
        return cls(paths, sizes, [path for path in paths if path.endswith(_GROUP)])

    def changed(self, entries: Mapping[DatasetPath, Entry | None]) -> Index:
        """Return the index with some entries as they are now; None for those that are gone."""
        paths, sizes, groups = list(self.paths), self._sizes[:], list(self._groups)
        for path, entry in entries.items():
            at, known = _find(paths, path)
            paths[at : at + known] = [] if entry is None else [path]
            sizes[at : at + known] = array("d", [] if entry is None else [entry.size])
            if path.endswith(_GROUP):
                at, known = _find(groups, path)
                groups[at : at + known] = [] if entry is None else [path]
        moved = any(_in_container(known, path) for path in entries for known in (self.paths, paths))
        return Index(paths, sizes, groups, None if moved else self._holding)

    @property
    def datasets(self) -> int:
        """Number of datasets."""
        own = bool(self.paths) and self._has(GROUP)
        return len(self.paths) - len(self._groups) - own

    @property
    def size(self) -> int:
        """Stored bytes of all datasets."""
        return int(self._outer[-1])

    def _containers(self) -> frozenset[str]:
        """Return the datasets below which others lie."""
        looked_at, found = set[str](), set[str]()
        for one in {path[: path.rfind("/") + 1] for path in self.paths}:
            at = len(one) - 1
            while at > 0 and (above := one[:at]) not in looked_at:
                looked_at.add(above)
                if self._has(above):
                    found.add(above)
                at = one.rfind("/", 0, at)
        return frozenset(found)

    def _has(self, path: str) -> bool:
        return _find(self.paths, path)[1]

    def _outer_sums(self) -> array[float]:
        """Return sums of the sizes without those of datasets that are parts of others."""
        sizes = self._sizes[:]
        for path in self._holding:
            start, stop = self._range(f"{path}/")
            sizes[start:stop] = array("d", bytes(8 * (stop - start)))
        return array("d", itertools.accumulate(sizes, initial=0.0))

    def _range(self, prefix: str) -> tuple[int, int]:
        """Return the positions of the paths with a prefix that ends with a slash, or is empty."""
        if not prefix:
            return 0, len(self.paths)
        start = bisect_left(self.paths, prefix)
        return start, bisect_left(self.paths, prefix[:-1] + _BEHIND, start)

    def holds(self, path: str) -> bool:
        """Return whether a dataset has others below it, as an HDF5 file has."""
        return path in self._holding

    def below(self, directory: str) -> Sequence[DatasetPath]:
        """Return the datasets below a directory; the one that it is if it holds no others."""
        start, stop = self._range(f"{directory}/" if directory else "")
        found = self.paths[start:stop]
        if self._groups:
            found = [path for path in found if not is_group(path)]
        return found or ([DatasetPath(directory)] if directory and self._has(directory) else [])

    def count(self, directory: str) -> int:
        """Return the number of datasets below a directory, quicker than `below` does."""
        return self._count(directory, *self._range(f"{directory}/"))

    def _count(self, directory: str, start: int, stop: int) -> int:
        begin = bisect_left(self._groups, f"{directory}/")
        return stop - start - (bisect_left(self._groups, directory + _BEHIND, begin) - begin)

    def level(self, directory: str, after: str, count: int) -> Level | None:
        """Return a page of the members of a directory; None if there is no such directory.

        A dataset that holds no others is its own only member. It may take a while where a level is
        large: call this in a thread.

        Parameters
        ----------
        directory : str
            Empty for all of the catalog.
        after : str
            That of the page before; empty for the first one.
        count : int
            Members of a page.
        """
        with self._lock:
            members = self._levels.peek(directory) or self._members(directory)
            self._levels.put(directory, members)
        found = members.branches or members.paths or self._has(f"{directory}{_GROUP}")
        if directory and not found:
            return None
        return _page(members, f"{directory}/" if directory else "", after, count)

    def _members(self, directory: str) -> _Members:
        prefix = f"{directory}/" if directory else ""
        at, stop = self._range(prefix)
        branches, found = list[Branch](), list[DatasetPath]()
        while at < stop:
            path = self.paths[at]
            name, slash, _ = path[len(prefix) :].partition("/")
            if slash:
                end = bisect_left(self.paths, f"{prefix}{name}{_BEHIND}", at, stop)
                branches.append(self._branch(prefix, name, at, end))
                at = end
            else:
                if name != GROUP:
                    found.append(path)
                at += 1
        if not branches and not found and self._has(directory):
            found.append(DatasetPath(directory))
        branches.sort(key=lambda branch: branch.name)
        return _Members(branches, found)

    def _branch(self, prefix: str, name: str, start: int, stop: int) -> Branch:
        path = f"{prefix}{name}"
        count = self._count(path, start, stop)
        if path in self._holding:
            return Branch(name, count, int(self._sizes[bisect_left(self.paths, path)]))
        sums = self._outer if self._outer[stop] > self._outer[start] else self._sums
        return Branch(name, count, int(sums[stop] - sums[start]))


def _page(members: _Members, prefix: str, after: str, count: int) -> Level:
    branches, paths = members.branches, members.paths
    begin, start = 0, 0
    if after.endswith("/"):
        begin = bisect_right(branches, after[:-1], key=lambda branch: branch.name)
    elif after:
        begin, start = len(branches), bisect_right(paths, prefix + after)
    shown = branches[begin : begin + count]
    chosen = paths[start : start + count - len(shown)]
    rest = len(branches) - begin - len(shown) + len(paths) - start - len(chosen)
    last = None
    if rest:
        last = chosen[-1][len(prefix) :] if chosen else f"{shown[-1].name}/"
    return Level(shown, chosen, len(branches), len(paths), last)


def _find(paths: Sequence[DatasetPath], path: str) -> tuple[int, bool]:
    """Return the position of a path, or where it would be, and whether it is there."""
    at = bisect_left(paths, path)
    return at, at < len(paths) and paths[at] == path


def _in_container(paths: Sequence[DatasetPath], path: DatasetPath) -> bool:
    """Return whether a path holds others, or lies in one that does."""
    at, _ = _find(paths, f"{path}/")
    above = itertools.accumulate(path.split("/")[:-1], "{}/{}".format)
    if at < len(paths) and paths[at].startswith(f"{path}/"):
        return True
    return any(_find(paths, one)[1] for one in above)


def _in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Sort entries by their paths in short steps, as `names.in_order` does; most are in order."""
    path = attrgetter("path")
    starts = range(0, len(entries), SORTED_AT_ONCE)
    runs = [sorted(entries[start : start + SORTED_AT_ONCE], key=path) for start in starts]
    if all(one[-1].path < following[0].path for one, following in itertools.pairwise(runs)):
        return [entry for run in runs for entry in run]
    return list(heapq.merge(*runs, key=path))
