"""The datasets of a root and their revisions, as whoever serves the root keeps them.

Each change raises the root's revision by one. Pure: no sockets, no files.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass

from caterva2 import limits
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.wire.messages import Catalog

HISTORY = 10_000
"""Changes that a publisher remembers; who missed more gets the whole catalog."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a catalog: the entry that is there now, or None where it was deleted."""

    rev: int
    path: DatasetPath
    entry: Entry | None


class Ledger:
    """The catalog of a root at its publisher."""

    def __init__(self) -> None:
        self.rev = 0
        self.entries: dict[DatasetPath, Entry] = {}
        self._history: deque[Step] = deque(maxlen=HISTORY)
        self._ordered: list[DatasetPath] | None = None

    def replace(self, scope: str, found: dict[DatasetPath, Entry]) -> list[Step]:
        """Take a scan of a scope as the truth; what changed by it."""
        if not scope:
            self._ordered = None
        gone = [path for path in self.within(scope) if path not in found]
        steps = [self._step(path, None) for path in gone]
        for path, entry in found.items():
            known = self.entries.get(path)
            if known is None or known.etag != entry.etag:
                steps.append(self._step(path, entry))
        return steps

    def within(self, scope: str) -> list[DatasetPath]:
        """The paths that are a scope or lie below it."""
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
        if self._ordered is not None and (entry is None) == (path in self.entries):
            at = bisect_left(self._ordered, path)
            self._ordered[at : at + (entry is None)] = [] if entry is None else [path]
        if entry is None:
            del self.entries[path]
        else:
            self.entries[path] = entry
        step = Step(self.rev, path, entry)
        self._history.append(step)
        return step

    def page(self, request_id: int, inst: str, since_rev: int, cursor: str) -> Catalog:
        """A page of the catalog: what changed since a revision, where that is still known."""
        oldest = self._history[0].rev if self._history else self.rev + 1
        if since_rev >= oldest - 1 and since_rev <= self.rev and not cursor:
            latest = {step.path: step.entry for step in self._history if step.rev > since_rev}
            if len(latest) <= limits.CATALOG_PAGE:
                return Catalog(
                    id=request_id, inst=inst, rev=self.rev, full=False,
                    entries=tuple(entry for entry in latest.values() if entry is not None),
                    deleted=tuple(path for path, entry in latest.items() if entry is None),
                )  # fmt: skip
        ordered = self._in_order()
        start = bisect_right(ordered, cursor)
        page = ordered[start : start + limits.CATALOG_PAGE]
        return Catalog(
            id=request_id, inst=inst, rev=self.rev, full=True,
            cursor=page[-1] if start + len(page) < len(ordered) else "",
            entries=tuple(self.entries[path] for path in page),
        )  # fmt: skip
