"""A publisher's ledger and a subscriber's copy, with all that may go wrong between them.

The truth of each path is a history of versions; a copy may be late, never go back.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from caterva2.limits import DEFAULTS
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName
from caterva2.sources.catalog import Ledger, Step
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.wire.messages import Catalog, Change, RootBeat, RootNote

PATHS = [DatasetPath(text) for text in ("a", "c/d", "c/e", "g")]
SCOPES = ["", "a", "c", "c/d", "g"]
ROOT = RootName("foo")
SMALL = replace(DEFAULTS.publisher, catalog_page=2, catalog_history=4)


class CatalogWorld(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.inst, self.ledger = "i0", Ledger(SMALL)
        self.truth: dict[DatasetPath, Entry] = {}
        self.versions: dict[DatasetPath, list[Entry | None]] = {path: [None] for path in PATHS}
        self.notes: list[RootNote] = []
        self.copy = CatalogCopy()
        self.seen: dict[DatasetPath, int] = defaultdict(int)
        self.saved = CatalogCopy(), dict(self.seen)
        self.asked: tuple[str, int] | None = None
        self.pages: list[Catalog] = []

    # --- the publisher ---

    @rule(path=st.sampled_from(PATHS), is_there=st.sampled_from([True, True, False]))
    def file_changes(self, path: DatasetPath, is_there: bool) -> None:
        etag = f"e{next(self.numbers)}"
        self.truth.pop(path, None)
        if is_there:
            self.truth[path] = Entry(path=path, kind="file", etag=etag, size=1, mtime=0.0)

    @rule(path=st.sampled_from(PATHS))
    def file_changes_and_is_seen(self, path: DatasetPath) -> None:
        self.file_changes(path, is_there=True)
        self.publisher_scans(path)

    @rule(scope=st.sampled_from(SCOPES))
    def publisher_scans(self, scope: str) -> None:
        found = {
            path: entry for path, entry in self.truth.items()
            if not scope or path == scope or path.startswith(scope + "/")
        }  # fmt: skip
        for step in self.ledger.replace(scope, found):
            self._happened(step.path, step.entry)
            self.notes.append(self._change(step))

    def _happened(self, path: DatasetPath, entry: Entry | None) -> None:
        if self.versions[path][-1] != entry:
            self.versions[path].append(entry)

    def _change(self, step: Step) -> Change:
        fields = step.entry.fields() | {"op": "put"} if step.entry else {"op": "delete"}
        origin = {"root": ROOT, "inst": self.inst, "fence": 1}
        return Change.model_validate(origin | fields | {"rev": step.rev, "path": step.path})

    @rule()
    def publisher_beats(self) -> None:
        self.notes.append(self._beat())

    def _beat(self) -> RootBeat:
        return RootBeat(root=ROOT, inst=self.inst, fence=1, rev=self.ledger.rev)

    @rule()
    def publisher_restarts(self) -> None:
        self.inst, self.ledger = f"i{next(self.numbers)}", Ledger(SMALL)
        self.ledger.replace("", dict(self.truth))
        for path in PATHS:
            self._happened(path, self.truth.get(path))

    # --- the subscriber ---

    @rule(most=st.integers(1, 6))
    def notes_arrive(self, most: int) -> None:
        for note in self.notes[:most]:
            self._hear(note)
        del self.notes[:most]

    @rule(which=st.sampled_from([0, 1, 2, -1]), fate=st.sampled_from(["twice", "early", "never"]))
    def note_goes_astray(self, which: int, fate: str) -> None:
        if not self.notes:
            return
        note = self.notes[which % len(self.notes)]
        if fate != "never":
            self._hear(note)
        if fate != "twice":
            self.notes.remove(note)

    def _hear(self, note: RootNote) -> None:
        if self.copy.is_current(note) and isinstance(note, Change):
            before = dict(self.copy.entries)
            self._differs(before, self.copy.change(note))

    def _differs(self, before: dict[DatasetPath, Entry], changed: set[DatasetPath]) -> None:
        after = self.copy.entries
        assert changed == {path for path in PATHS if before.get(path) != after.get(path)}

    @rule(pages=st.sampled_from([0, 1, 9]))
    def sync_begins(self, pages: int) -> None:
        """Some of its pages may be made at once, and the others later."""
        if self.asked is None:
            self.asked, self.pages = (self.inst, self.copy.since(self.inst)), []
        for _ in range(pages):
            self._make_page()

    def _make_page(self) -> None:
        if self.asked is None or (self.pages and not self.pages[-1].cursor):
            return
        inst, since = self.asked
        page = self.ledger.page(
            1, self.inst, since if inst == self.inst else -1,
            self.pages[-1].cursor if self.pages else "",
        )  # fmt: skip
        assert len(page.entries) + len(page.deleted) <= SMALL.catalog_page
        if self.pages and page.inst != self.pages[0].inst:
            self.asked = None  # the subscriber gives up
        else:
            self.pages.append(page)

    @rule(path=st.sampled_from(PATHS), before=st.integers(0, 2), after=st.integers(1, 2))
    def notes_overtake_pages(self, path: DatasetPath, before: int, after: int) -> None:
        for _ in range(before):
            self.file_changes_and_is_seen(path)
        self.sync_begins(9)
        for _ in range(after):
            self.file_changes_and_is_seen(path)
        self.notes_arrive(len(self.notes))

    @rule()
    def pages_arrive(self) -> None:
        if self.asked is not None and self.pages and not self.pages[-1].cursor:
            self.asked, before = None, dict(self.copy.entries)
            self._differs(before, self.copy.take(self.pages))

    @rule()
    def subscriber_saves(self) -> None:
        self.saved = self._copied(self.copy), dict(self.seen)

    @rule()
    def subscriber_restarts(self) -> None:
        copy, seen = self.saved
        self.copy, self.asked = self._copied(copy), None
        self.seen = defaultdict(int, seen)

    def _copied(self, copy: CatalogCopy) -> CatalogCopy:
        return replace(copy, entries=dict(copy.entries))

    @rule()
    def all_is_quiet(self) -> None:
        """A beat gets through, and a catalog whenever it shows that one is due."""
        self.asked = None
        for _ in range(2):
            if not self.copy.is_current(self._beat()):
                self.sync_begins(9)
                self.pages_arrive()
        assert self.copy.is_current(self._beat())
        assert self.copy.entries == self.ledger.entries

    # --- what must hold ---

    @invariant()
    def who_is_in_step_has_the_ledger(self) -> None:
        if self.copy.is_current(self._beat()) and self.copy.rev == self.ledger.rev:
            assert self.copy.entries == self.ledger.entries

    @invariant()
    def no_entry_goes_back(self) -> None:
        for path in PATHS if self.copy.complete else ():
            known = self.versions[path]
            while known[self.seen[path]] != self.copy.entries.get(path):
                self.seen[path] += 1
                assert self.seen[path] < len(known), f"{path} went back"
