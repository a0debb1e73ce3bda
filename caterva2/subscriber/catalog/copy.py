"""A subscriber's copy of a root's catalog, kept in step by its revisions.

A copy that misses a revision asks for what changed since the last one that it saw. Pure: no
sockets, no files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from caterva2.model import Entry, Manifest
from caterva2.names import DatasetPath
from caterva2.wire.messages import Catalog, Change, RootBeat

Entries = dict[DatasetPath, Entry]
LATE_BEATS = 2
"""Beats in a row with a lower revision, after which the copy is doubted."""


@dataclass(slots=True)
class CatalogCopy:
    """A subscriber's copy of a root's catalog.

    Attributes
    ----------
    inst : str
        The publisher's run that the revision belongs to; empty before the first catalog.
    rev : int
        Revision that the entries are of.
    fence : int
        Of the publisher's run, at the broker that it registers with; 0 if that is not known.
    manifest : Manifest or None
        The last state that is known to be signed, which may be an earlier one.
    complete : bool
        Whether a whole catalog was ever taken.
    entries : dict
        The datasets.
    groups : dict
        The descriptions of directories, by their own paths.
    even : bool
        Whether all entries are of that revision; some are newer if the catalog changed between
        its pages.
    """

    inst: str = ""
    rev: int = -1
    complete: bool = False
    even: bool = True
    entries: Entries = field(default_factory=dict)
    groups: Entries = field(default_factory=dict)
    fence: int = 0
    manifest: Manifest | None = None
    _late_beats: int = 0
    _noted: int = -1
    _contradicted: bool = False

    @property
    def doubted(self) -> bool:
        """Whether the publisher contradicts it, so that only a full catalog counts.

        Revisions of a publisher are in order, so a beat with a lower one was overtaken by a
        catalog, or a change was not from the publisher. The second such beat in a row, or two
        changes of one revision, can only be the latter.
        """
        return self._contradicted or self._late_beats >= LATE_BEATS

    def since(self, inst: str) -> int:
        """Return the revision to request changes from, -1 for everything."""
        return self.rev if self.complete and inst == self.inst and not self.doubted else -1

    @property
    def signed(self) -> Manifest | None:
        """The signature of this very state, None if there is none."""
        said = self.manifest
        of = said is not None and self.even and (said.inst, said.rev) == (self.inst, self.rev)
        return said if of else None

    def copied(self) -> CatalogCopy:
        """Return a copy whose changes leave this one as it is."""
        return replace(self, entries=dict(self.entries), groups=dict(self.groups))

    def entry(self, path: DatasetPath) -> Entry | None:
        """Return the dataset or group of a path."""
        return self.entries.get(path) or self.groups.get(path)

    def _put(self, entry: Entry) -> None:
        self._drop(entry.path)
        (self.groups if entry.kind == "group" else self.entries)[entry.path] = entry

    def _drop(self, path: DatasetPath) -> None:
        self.entries.pop(path, None)
        self.groups.pop(path, None)

    def is_current(self, note: Change | RootBeat) -> bool:
        """Return whether nothing was missed before this note."""
        if not self.complete or not self.even or note.inst != self.inst:
            return False
        if isinstance(note, Change):
            self._contradicted |= note.rev <= self._noted
            return note.rev <= self.rev + 1 and not self.doubted
        self._late_beats = self._late_beats + 1 if note.rev < self.rev else 0
        return note.rev <= self.rev and not self.doubted

    def change(self, note: Change) -> set[DatasetPath]:
        """Apply the next change; return the paths whose version changed."""
        if note.rev != self.rev + 1:
            return set()
        self._noted = note.rev
        entry, known = None, self.entry(note.path)
        if note.op == "put":
            entry = Entry(
                path=note.path, kind=note.kind, etag=note.etag, size=note.size, mtime=note.mtime
            )
            self._put(entry)
        else:
            self._drop(note.path)
        self.rev = note.rev
        return {note.path} if known != entry else set()

    def take(self, pages: Iterable[Catalog]) -> set[DatasetPath]:
        """Apply all pages of a catalog; return the paths whose version changed.

        Pages of one full catalog may be of growing revisions: the oldest counts, and changes
        between the pages are requested once more. Until then no note is the next one, since it
        may be older than a page. Pages that notes have overtaken change nothing.
        """
        pages = list(pages)
        rev = min(page.rev for page in pages)
        if rev < self.since(pages[0].inst):
            return set()
        if not pages[0].full:
            fresh = {entry.path: entry for page in pages for entry in page.entries}
            gone = {path for page in pages for path in page.deleted if self.entry(path)}
            changed = gone | {p for p, e in fresh.items() if _etag(self.entry(p)) != e.etag}
            for path in gone:
                self._drop(path)
            for entry in fresh.values():
                self._put(entry)
        else:
            found, groups = divided(entry for page in pages for entry in page.entries)
            changed = (self.entries.keys() - found.keys()) | (self.groups.keys() - groups.keys())
            for new in (found, groups):
                changed |= {p for p, e in new.items() if _etag(self.entry(p)) != e.etag}
            self.entries, self.groups = found, groups
        self.inst, self.rev, self.complete = pages[0].inst, rev, True
        self.even = all(page.rev == rev for page in pages)
        self._noted, self._late_beats, self._contradicted = -1, 0, False
        return changed


def divided(entries: Iterable[Entry]) -> tuple[Entries, Entries]:
    """Divide entries into datasets and groups, each by their paths; the last one of a path counts.

    A path is never both: of two, a reader would see one, and a digest of all be of the other.
    """
    datasets: Entries = {}
    groups: Entries = {}
    for entry in entries:
        is_group = entry.kind == "group"
        (groups if is_group else datasets)[entry.path] = entry
        (datasets if is_group else groups).pop(entry.path, None)
    return datasets, groups


def _etag(entry: Entry | None) -> str:
    return "" if entry is None else entry.etag
