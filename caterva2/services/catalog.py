"""The datasets of a root and their revisions: the publisher's ledger, the subscriber's copy.

Each change raises the root's revision by one. A copy that misses a revision asks for what
changed since the last one that it saw. Pure: no sockets, no files.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from caterva2 import limits
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.wire.messages import Catalog, Change, RootBeat

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


@dataclass(slots=True)
class CatalogCopy:
    """A subscriber's copy of a root's catalog.

    Attributes
    ----------
    inst : str
        The publisher's run that the revision belongs to; empty before the first catalog.
    rev : int
        Revision that the entries are of.
    complete : bool
        Whether a whole catalog was ever taken.
    even : bool
        Whether all entries are of that revision; some are newer if the catalog changed between
        its pages.
    """

    inst: str = ""
    rev: int = -1
    complete: bool = False
    even: bool = True
    entries: dict[DatasetPath, Entry] = field(default_factory=dict)

    def since(self, inst: str) -> int:
        """The revision to ask a publisher's changes from, -1 for everything."""
        return self.rev if self.complete and inst == self.inst else -1

    def is_current(self, note: Change | RootBeat) -> bool:
        """Whether nothing was missed before this note."""
        step = 1 if isinstance(note, Change) else 0
        in_step = self.complete and self.even and note.inst == self.inst
        return in_step and note.rev <= self.rev + step

    def change(self, note: Change) -> set[DatasetPath]:
        """Apply the next change; the paths whose version changed."""
        if note.rev != self.rev + 1:
            return set()
        if note.op == "put":
            entry = Entry(
                path=note.path, kind=note.kind, etag=note.etag, size=note.size, mtime=note.mtime
            )
            known, self.entries[note.path] = self.entries.get(note.path), entry
        else:
            entry, known = None, self.entries.pop(note.path, None)
        self.rev = note.rev
        return {note.path} if known != entry else set()

    def take(self, pages: Iterable[Catalog]) -> set[DatasetPath]:
        """Take all pages of a catalog; the paths whose version changed.

        Pages of one full catalog may be of growing revisions: the oldest counts, and what
        changed between the pages is asked for once more. Until then no note is the next one,
        since it may be older than what a page told. Pages that notes have overtaken on their
        way change nothing.
        """
        pages = list(pages)
        rev = min(page.rev for page in pages)
        if rev < self.since(pages[0].inst):
            return set()
        if not pages[0].full:
            fresh = {entry.path: entry for page in pages for entry in page.entries}
            gone = {path for page in pages for path in page.deleted} & self.entries.keys()
            changed = gone | {p for p, e in fresh.items() if _etag(self.entries.get(p)) != e.etag}
            for path in gone:
                del self.entries[path]
            self.entries |= fresh
        else:
            found = {entry.path: entry for page in pages for entry in page.entries}
            changed = self.entries.keys() - found.keys()
            changed |= {p for p, e in found.items() if _etag(self.entries.get(p)) != e.etag}
            self.entries = found
        self.inst, self.rev, self.complete = pages[0].inst, rev, True
        self.even = all(page.rev == rev for page in pages)
        return changed


def _etag(entry: Entry | None) -> str:
    return "" if entry is None else entry.etag
