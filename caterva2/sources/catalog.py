"""The datasets of a root and their revisions, as the service that serves the root keeps them.

Each change raises the root's revision by one. Pure: no sockets, no files.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.runtime.lru import Lru
from caterva2.wire.messages import Catalog

MANY = 1000
"""Paths that come or go at once from which on all are sorted again: to keep them sorted moves those
behind each."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a catalog.

    ``entry`` is there now, None after a deletion; ``former`` was there before, None if the
    dataset is new.
    """

    rev: int
    path: DatasetPath
    entry: Entry | None
    former: Entry | None = field(default=None, compare=False)

    @property
    def grown(self) -> int:
        """Stored bytes that the change added; negative if it freed some."""
        size = self.entry.size if self.entry else 0
        return size - (self.former.size if self.former else 0)


class Ledger:
    """The catalog of a root, with its last changes.

    Parameters
    ----------
    limits : PublisherLimits, optional
        ``catalog_page`` bounds the pages, ``catalog_history`` the changes that are kept.
    """

    def __init__(self, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self.rev = 0
        self.entries: dict[DatasetPath, Entry] = {}
        self._page_size = limits.catalog_page
        self._history: deque[Step] = deque(maxlen=limits.catalog_history)
        self._ordered: list[DatasetPath] | None = None

    def replace(self, scope: str, found: dict[DatasetPath, Entry]) -> list[Step]:
        """Take the result of scanning a scope as the truth; return what changed by it."""
        gone = [path for path in self.within(scope) if path not in found]
        if not scope or len(gone) + len(found) > MANY:
            self._ordered = None
        steps = [self._step(path, None) for path in gone]
        for path, entry in found.items():
            known = self.entries.get(path)
            if known is None or known.etag != entry.etag:
                steps.append(self._step(path, entry))
        return steps

    def within(self, scope: str) -> list[DatasetPath]:
        """Return the paths that are a scope or lie below it."""
        if not scope:
            return list(self.entries)
        ordered, prefix = self._in_order(), scope + "/"
        start = bisect_left(ordered, prefix)
        below = itertools.takewhile(lambda path: path.startswith(prefix), ordered[start:])
        return [*([DatasetPath(scope)] if scope in self.entries else []), *below]

    def _in_order(self) -> list[DatasetPath]:
        if self._ordered is None:
            self._ordered = sorted(self.entries)
        return self._ordered

    def _step(self, path: DatasetPath, entry: Entry | None) -> Step:
        self.rev += 1
        former = self.entries.get(path)
        if self._ordered is not None and (entry is None) == (former is not None):
            at = bisect_left(self._ordered, path)
            self._ordered[at : at + (entry is None)] = [] if entry is None else [path]
        if entry is None:
            del self.entries[path]
        else:
            self.entries[path] = entry
        step = Step(self.rev, path, entry, former)
        self._history.append(step)
        return step

    def page(
        self, request_id: int, inst: str, since_rev: int, cursor: str, *, groups: bool = False
    ) -> Catalog:
        """Return a page of the catalog: the changes since a revision, if these are still known.

        Parameters
        ----------
        request_id : int
        inst : str
            Names this run of the publisher.
        since_rev : int
            The revision that the requester has, or -1 for all entries.
        cursor : str
            The last path of the page before; empty for the first page.
        groups : bool
            Whether the requester knows entries of the kind group.
        """
        oldest = self._history[0].rev if self._history else self.rev + 1
        if since_rev >= oldest - 1 and since_rev <= self.rev and not cursor:
            latest = {step.path: step.entry for step in self._history if step.rev > since_rev}
            if len(latest) <= self._page_size:
                return Catalog(
                    id=request_id, inst=inst, rev=self.rev, full=False,
                    entries=_known(latest.values(), groups),
                    deleted=tuple(path for path, entry in latest.items() if entry is None),
                )  # fmt: skip
        ordered = self._in_order()
        start = bisect_right(ordered, cursor)
        page = ordered[start : start + self._page_size]
        return Catalog(
            id=request_id, inst=inst, rev=self.rev, full=True,
            cursor=page[-1] if start + len(page) < len(ordered) else "",
            entries=_known((self.entries[path] for path in page), groups),
        )  # fmt: skip


def _known(entries: Iterable[Entry | None], groups: bool) -> tuple[Entry, ...]:
    """Return the entries of the kinds that a requester knows."""
    found = (entry for entry in entries if entry is not None)
    return tuple(entry for entry in found if groups or entry.kind != "group")


class Generations:
    """Names of the states of a catalog, and which datasets have not changed since one of them.

    A name is given by its caller: states of one name have the same entries. Few names and paths are
    kept, so an old state may count as gone although nothing changed.

    Parameters
    ----------
    max_names, max_paths : int
    """

    def __init__(self, max_names: int = 1000, max_paths: int = 100_000) -> None:
        self._count = 0
        self._forgotten = 0
        """The last change of a path that is not kept any more."""
        self._named: Lru[str, int] = Lru(max_names)
        self._changed: Lru[str, int] = Lru(max_paths, on_evict=self._forget)

    def _forget(self, path: str, change: int) -> None:
        self._forgotten = max(self._forgotten, change)

    def change(self, paths: Collection[str]) -> None:
        """Note that some paths have other versions from now on."""
        self._count += 1
        if len(paths) > self._changed.max_size:
            self._changed.clear()
            self._forgotten = self._count
            return
        for path in paths:
            self._changed.put(path, self._count)

    def name(self, current: str) -> str:
        """Note that the present state was named to somebody; return the name."""
        self._named.put(current, self._count)
        return current

    def holds(self, name: str, current: str, path: str) -> bool:
        """Return whether a path has the version that it had in the state of a name."""
        named = self._named.get(name, self._count if name == current else None)
        last = max(self._changed.peek(path) or 0, self._forgotten)
        return named is not None and last <= named
