"""A publisher's ledger and the copies of it that subscribers hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName, is_group
from caterva2.sources.catalog import MANY, Ledger, Step
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.wire.messages import Catalog, Change, RootBeat
from tests.thoroughness import examples

Found = dict[DatasetPath, Entry]


def _entry(path: str, etag: str = "1") -> Entry:
    return Entry(path=DatasetPath(path), kind="file", etag=etag, size=1, mtime=0.0)


def _found(*paths: str, etag: str = "1") -> Found:
    return {DatasetPath(path): _entry(path, etag) for path in paths}


def _note(step: Step, inst: str = "i") -> Change:
    fields = {} if step.entry is None else step.entry.fields()
    return Change.model_validate(
        {"root": "foo", "inst": inst, "fence": 1, "rev": step.rev, "path": step.path}
        | {"op": "put" if step.entry else "delete"}
        | fields
    )


def _beat(rev: int, inst: str = "i") -> RootBeat:
    return RootBeat(root=RootName("foo"), inst=inst, fence=1, rev=rev)


def _pages(ledger: Ledger, since: int, inst: str = "i") -> Iterator[Catalog]:
    page = ledger.page(1, inst, since, "")
    yield page
    while page.cursor:
        page = ledger.page(1, inst, since, page.cursor)
        yield page


def _sync(copy: CatalogCopy, ledger: Ledger, inst: str = "i") -> set[DatasetPath]:
    return copy.take(_pages(ledger, copy.since(inst), inst))


SMALL_PAGES = replace(DEFAULTS.publisher, catalog_page=3)


# --- the ledger ---


def test_each_change_raises_the_revision() -> None:
    ledger = Ledger()
    steps = ledger.replace("", _found("a", "b"))
    steps += ledger.replace("", _found("b") | _found("c") | _found("b", etag="2"))
    assert [step.rev for step in steps] == [1, 2, 3, 4, 5]
    assert [(s.path, s.entry and s.entry.etag) for s in steps[2:]] == [
        ("a", None),
        ("b", "2"),
        ("c", "1"),
    ]


def test_a_scan_of_the_same_changes_nothing() -> None:
    ledger = Ledger()
    ledger.replace("", _found("a", "b"))
    assert ledger.replace("", _found("b", "a")) == []


def test_a_scope_leaves_the_rest_alone() -> None:
    ledger = Ledger()
    ledger.replace("", _found("d/x", "d/y", "dd", "e"))
    ledger.replace("d", _found("d/y"))
    assert ledger.entries.keys() == {"d/y", "dd", "e"}
    ledger.replace("e", {})
    assert ledger.entries.keys() == {"d/y", "dd"}


def test_a_container_and_what_it_holds_are_one_scope() -> None:
    ledger = Ledger()
    ledger.replace("", _found("a", "a.nc", "a.nc-b", "a.nc/x", "a.nc/y"))
    assert ledger.within("a.nc") == ["a.nc", "a.nc/x", "a.nc/y"]
    assert {step.path for step in ledger.replace("a.nc", _found("a.nc"))} == {"a.nc/x", "a.nc/y"}
    assert set(ledger.entries) == {"a", "a.nc", "a.nc-b"}


@pytest.mark.parametrize("count", [3, MANY + 3])
def test_order_is_kept_however_many_come_and_go_at_once(count: int) -> None:
    ledger = Ledger()
    inside = _found("a.nc", *(f"a.nc/{n:05}" for n in range(count)))
    ledger.replace("", _found("a", "z"))
    assert ledger.within("a.nc") == []
    ledger.replace("a.nc", inside)
    assert ledger.within("a.nc") == sorted(inside)
    assert len(ledger.replace("a.nc", {})) == count + 1
    assert ledger.within("a.nc") == []
    assert set(ledger.entries) == {"a", "z"}


def test_a_file_becomes_a_directory_and_back() -> None:
    ledger = Ledger()
    ledger.replace("", _found("a"))
    ledger.replace("a", _found("a/x"))
    assert ledger.entries.keys() == {"a/x"}
    ledger.replace("a", _found("a"))
    assert ledger.entries.keys() == {"a"}


NAMES = ["a", "a/x", "a/y", "ab", "b/c/d", "b"]


# --- groups ---


def _with_groups(*paths: str, etag: str = "1") -> dict[DatasetPath, Entry]:
    found = _found(*paths, etag=etag)
    return {p: replace(e, kind="group") if is_group(p) else e for p, e in found.items()}


def _sync_with_groups(copy: CatalogCopy, ledger: Ledger) -> set[DatasetPath]:
    page = ledger.page(1, "i", copy.since("i"), "", groups=True)
    pages = [page]
    while page.cursor:
        pages.append(page := ledger.page(1, "i", copy.since("i"), page.cursor, groups=True))
    return copy.take(pages)


@pytest.mark.parametrize("limits", [DEFAULTS.publisher, SMALL_PAGES])
def test_groups_are_kept_apart_from_datasets(limits: PublisherLimits) -> None:
    copy, ledger = CatalogCopy(), Ledger(limits)
    ledger.replace("", _with_groups(".group", "a", "d/.group", "d/b", "d/c"))
    assert _sync_with_groups(copy, ledger) == ledger.entries.keys()
    assert copy.entries.keys() == {"a", "d/b", "d/c"}
    assert copy.groups.keys() == {".group", "d/.group"}
    assert copy.entry(DatasetPath("d/.group")) == ledger.entries[DatasetPath("d/.group")]
    ledger.replace("", _with_groups("a", "d/.group", "d/b", etag="2"))
    _sync_with_groups(copy, ledger)
    assert (copy.entries.keys(), copy.groups.keys()) == ({"a", "d/b"}, {"d/.group"})
    assert {**copy.entries, **copy.groups} == ledger.entries


def test_notes_of_groups_are_applied() -> None:
    copy, ledger = CatalogCopy(), Ledger()
    _sync_with_groups(copy, ledger)
    [put] = ledger.replace(".group", _with_groups(".group"))
    assert copy.change(_note(put)) == {".group"}
    assert (copy.groups, copy.entries) == (ledger.entries, {})
    [delete] = ledger.replace(".group", {})
    assert copy.change(_note(delete)) == {".group"}
    assert copy.groups == {}


@pytest.mark.parametrize("limits", [DEFAULTS.publisher, SMALL_PAGES])
def test_requester_that_does_not_know_groups_gets_none_and_stays_in_step(
    limits: PublisherLimits,
) -> None:
    copy, ledger = CatalogCopy(), Ledger(limits)
    ledger.replace("", _with_groups(".group", "a", "b/.group", "b/c", "d/.group", "e/.group"))
    assert _sync(copy, ledger) == {"a", "b/c"}
    assert copy.is_current(_beat(ledger.rev))
    # It can't read the note of a group, and finds out by the next one, or by a beat.
    ledger.replace("", _with_groups("a", ".group", "d/.group", etag="2"))
    assert not copy.is_current(_beat(ledger.rev))
    assert _sync(copy, ledger) == {"a", "b/c"}
    assert copy.is_current(_beat(ledger.rev))
    assert (copy.entries.keys(), copy.groups) == ({"a"}, {})


@settings(max_examples=examples(200))
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a", "b", "b/c", "a/x"]), st.sets(st.sampled_from(NAMES))),
        max_size=8,
    )
)
def test_a_scan_is_the_truth_of_its_scope(scans: list[tuple[str, set[str]]]) -> None:
    ledger = Ledger()

    def within(scope: str, paths: set[str]) -> set[str]:
        return {p for p in paths if not scope or p == scope or p.startswith(scope + "/")}

    for scope, paths in scans:
        ledger.replace(scope, _found(*sorted(within(scope, paths))))
        assert within(scope, set(ledger.entries)) == within(scope, paths)


# --- pages ---


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_a_catalog_comes_in_pages(count: int) -> None:
    ledger = Ledger(SMALL_PAGES)
    ledger.replace("", _found(*(f"f{n:02}" for n in range(count))))
    pages = list(_pages(ledger, -1))
    assert all(page.full and len(page.entries) <= 3 for page in pages)
    assert len(pages) == max(1, -(-count // 3))
    assert [entry.path for page in pages for entry in page.entries] == sorted(ledger.entries)


def test_what_changed_since_a_revision() -> None:
    ledger = Ledger()
    ledger.replace("", _found("a", "b", "c"))
    ledger.replace("", _found("a", "c", etag="2"))
    page = ledger.page(1, "i", 3, "")
    assert not page.full
    assert {(e.path, e.etag) for e in page.entries} == {("a", "2"), ("c", "2")}
    assert page.deleted == ("b",)
    assert page.rev == ledger.rev


def test_nothing_changed_since_the_last_revision() -> None:
    ledger = Ledger()
    ledger.replace("", _found("a"))
    page = ledger.page(1, "i", 1, "")
    assert (page.full, page.entries, page.deleted) == (False, (), ())


@pytest.mark.parametrize("since", [-1, 99])
def test_a_revision_that_is_not_known_gets_everything(since: int) -> None:
    ledger = Ledger()
    ledger.replace("", _found("a"))
    assert ledger.page(1, "i", since, "").full


def test_who_missed_more_than_is_remembered_gets_everything() -> None:
    ledger = Ledger(replace(DEFAULTS.publisher, catalog_history=2))
    ledger.replace("", _found("a", "b", "c"))
    assert ledger.page(1, "i", 0, "").full
    assert not ledger.page(1, "i", 1, "").full


def test_changes_that_just_fit_a_page_are_one() -> None:
    ledger = Ledger(SMALL_PAGES)
    ledger.replace("", _found(*"abc"))
    assert not ledger.page(1, "i", 0, "").full


def test_an_empty_catalog_has_nothing_to_tell_of_its_first_revision() -> None:
    assert not Ledger().page(1, "i", 0, "").full


def test_too_many_changes_for_a_page_give_everything() -> None:
    ledger = Ledger(SMALL_PAGES)
    ledger.replace("", _found(*"abcd"))
    assert ledger.page(1, "i", 0, "").full


# --- the copy ---


def test_a_copy_asks_for_everything_first_and_of_another_run() -> None:
    copy, ledger = CatalogCopy(), Ledger()
    assert copy.since("i") == -1
    ledger.replace("", _found("a"))
    assert _sync(copy, ledger) == {"a"}
    assert (copy.since("i"), copy.since("j")) == (1, -1)


def test_a_copy_follows_the_notes() -> None:
    copy, ledger = CatalogCopy(), Ledger()
    _sync(copy, ledger)
    for step in ledger.replace("", _found("a", "b")) + ledger.replace("", _found("b")):
        assert copy.is_current(_note(step))
        assert copy.change(_note(step)) == {step.path}
    assert copy.entries == ledger.entries


@pytest.mark.parametrize(
    ("note", "current"),
    [
        (_beat(1), True),
        (_beat(0), True),
        (_beat(2), False),
        (_beat(1, "j"), False),
        (_note(Step(2, DatasetPath("x"), None)), True),
        (_note(Step(3, DatasetPath("x"), None)), False),
        (_note(Step(2, DatasetPath("x"), None), "j"), False),
    ],
)
def test_whether_something_was_missed(note: Change | RootBeat, current: bool) -> None:
    copy, ledger = CatalogCopy(), Ledger()
    ledger.replace("", _found("a"))
    _sync(copy, ledger)
    assert copy.is_current(note) is current


def test_a_note_that_is_not_the_next_changes_nothing() -> None:
    copy, ledger = CatalogCopy(), Ledger()
    ledger.replace("", _found("a"))
    _sync(copy, ledger)
    for rev in (0, 1, 3):
        assert copy.change(_note(Step(rev, DatasetPath("a"), None))) == set()
    assert copy.entries == ledger.entries


def test_pages_that_notes_have_overtaken_change_nothing() -> None:
    copy, ledger = CatalogCopy(), Ledger()
    _sync(copy, ledger)
    steps = ledger.replace("", _found("a", etag="1"))
    late = list(_pages(ledger, copy.since("i")))
    steps += ledger.replace("", _found("a", etag="2"))
    for step in steps:
        copy.change(_note(step))
    assert copy.take(late) == set()
    assert (copy.rev, copy.entries) == (2, ledger.entries)


def test_after_pages_of_several_revisions_no_note_is_the_next() -> None:
    copy, ledger = CatalogCopy(), Ledger(SMALL_PAGES)
    ledger.replace("", _found(*"abcd"))
    first = ledger.page(1, "i", -1, "")
    [older] = ledger.replace("d", _found("d", etag="2"))
    ledger.replace("d", _found("d", etag="3"))
    copy.take([first, ledger.page(1, "i", -1, first.cursor)])
    assert not copy.is_current(_note(older))
    _sync(copy, ledger)
    assert copy.is_current(_beat(ledger.rev))
    assert copy.entries == ledger.entries


@settings(max_examples=examples(200))
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "delete", "sync", "restart"]),
            st.sampled_from("abcdefgh"),
            st.booleans(),
        ),
        max_size=50,
    ),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_after_a_sync_the_copy_is_the_ledger(
    actions: list[tuple[str, str, bool]], page: int, history: int
) -> None:
    """Notes get lost, changes happen between pages, the publisher restarts."""
    limits = replace(DEFAULTS.publisher, catalog_page=page, catalog_history=history)
    ledger, copy, inst, told = Ledger(limits), CatalogCopy(), "i", True
    for count, (action, name, kept) in enumerate(actions):
        if action == "restart":
            before = dict(ledger.entries)
            ledger, inst = Ledger(limits), f"i{count}"
            ledger.replace("", before)
        elif action == "sync":
            pages = []
            for part in _pages(ledger, copy.since(inst), inst):
                pages.append(part)
                if kept:
                    ledger.replace(name, _found(name, etag=f"s{count}"))
            copy.take(pages)
        else:
            found = _found(name, etag=str(count)) if action == "put" else {}
            for step in ledger.replace(name, found):
                note = _note(step, inst)
                if kept and copy.is_current(note):
                    copy.change(note)
        told = copy.is_current(_beat(ledger.rev, inst))
        if told:
            assert copy.entries == ledger.entries
    while not copy.is_current(_beat(ledger.rev, inst)):
        _sync(copy, ledger, inst)
    assert copy.entries == ledger.entries


# --- changes that the publisher did not make ---


def _forged(path: str, rev: int) -> Change:
    return _note(Step(rev, DatasetPath(path), None))


def test_second_beat_in_a_row_with_a_lower_revision_asks_for_everything() -> None:
    ledger, copy = Ledger(), CatalogCopy()
    ledger.replace("", _found("a", "b"))
    _sync(copy, ledger)
    for path in ("a", "b"):
        copy.change(_forged(path, copy.rev + 1))
    assert copy.entries == {}
    assert copy.is_current(_beat(ledger.rev))  # one may have been overtaken by a catalog
    assert not copy.is_current(_beat(ledger.rev))
    assert copy.since("i") == -1
    assert _sync(copy, ledger) == {"a", "b"}
    assert copy.entries == _found("a", "b")
    assert copy.is_current(_beat(ledger.rev))


def test_lower_beat_that_a_right_one_follows_is_forgotten() -> None:
    ledger, copy = Ledger(), CatalogCopy()
    ledger.replace("", _found("a"))
    _sync(copy, ledger)
    for _ in range(3):
        assert copy.is_current(_beat(copy.rev - 1))
        assert copy.is_current(_beat(copy.rev))


def test_two_changes_of_one_revision_ask_for_everything() -> None:
    """The publisher's own change makes the revisions equal again, but not the entries."""
    ledger, copy = Ledger(), CatalogCopy()
    ledger.replace("", _found("a", "b"))
    _sync(copy, ledger)
    copy.change(_forged("a", copy.rev + 1))
    [step] = ledger.replace("b", _found("b", etag="2"))
    assert not copy.is_current(_note(step))
    assert not copy.is_current(_beat(ledger.rev))
    _sync(copy, ledger)
    assert copy.entries == _found("a") | _found("b", etag="2")


def test_changes_that_a_catalog_overtook_ask_for_nothing() -> None:
    ledger, copy = Ledger(), CatalogCopy()
    ledger.replace("", _found("a"))
    _sync(copy, ledger)
    steps = ledger.replace("b", _found("b")) + ledger.replace("c", _found("c"))
    copy.change(_note(steps[0]))
    _sync(copy, ledger)
    assert all(copy.is_current(_note(step)) for step in steps)
