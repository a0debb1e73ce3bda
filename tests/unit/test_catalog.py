"""A publisher's ledger and the copies of it that subscribers hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import SMALL_PAGES, beat_of, files_of, note_of, pages_of, synchronise

from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import Entry
from caterva2.names import DatasetPath, is_group
from caterva2.sources.catalog import MANY, Ledger
from caterva2.subscriber.catalog.copy import CatalogCopy
from tests.thoroughness import examples

# --- the ledger ---


def test_each_change_raises_the_revision() -> None:
    ledger = Ledger()
    steps = ledger.replace("", files_of("a", "b"))
    steps += ledger.replace("", files_of("b") | files_of("c") | files_of("b", etag="2"))
    assert [step.rev for step in steps] == [1, 2, 3, 4, 5]
    assert [(s.path, s.entry and s.entry.etag) for s in steps[2:]] == [
        ("a", None),
        ("b", "2"),
        ("c", "1"),
    ]


def test_a_scan_of_the_same_changes_nothing() -> None:
    ledger = Ledger()
    ledger.replace("", files_of("a", "b"))
    assert ledger.replace("", files_of("b", "a")) == []


def test_a_scope_leaves_the_rest_alone() -> None:
    ledger = Ledger()
    ledger.replace("", files_of("d/x", "d/y", "dd", "e"))
    ledger.replace("d", files_of("d/y"))
    assert ledger.entries.keys() == {"d/y", "dd", "e"}
    ledger.replace("e", {})
    assert ledger.entries.keys() == {"d/y", "dd"}


def test_a_container_and_what_it_holds_are_one_scope() -> None:
    ledger = Ledger()
    ledger.replace("", files_of("a", "a.nc", "a.nc-b", "a.nc/x", "a.nc/y"))
    assert ledger.within("a.nc") == ["a.nc", "a.nc/x", "a.nc/y"]
    assert {step.path for step in ledger.replace("a.nc", files_of("a.nc"))} == {"a.nc/x", "a.nc/y"}
    assert set(ledger.entries) == {"a", "a.nc", "a.nc-b"}


@pytest.mark.parametrize("count", [3, MANY + 3])
def test_order_is_kept_however_many_come_and_go_at_once(count: int) -> None:
    ledger = Ledger()
    inside = files_of("a.nc", *(f"a.nc/{n:05}" for n in range(count)))
    ledger.replace("", files_of("a", "z"))
    assert ledger.within("a.nc") == []
    ledger.replace("a.nc", inside)
    assert ledger.within("a.nc") == sorted(inside)
    assert len(ledger.replace("a.nc", {})) == count + 1
    assert ledger.within("a.nc") == []
    assert set(ledger.entries) == {"a", "z"}


def test_a_file_becomes_a_directory_and_back() -> None:
    ledger = Ledger()
    ledger.replace("", files_of("a"))
    ledger.replace("a", files_of("a/x"))
    assert ledger.entries.keys() == {"a/x"}
    ledger.replace("a", files_of("a"))
    assert ledger.entries.keys() == {"a"}


NAMES = ["a", "a/x", "a/y", "ab", "b/c/d", "b"]


# --- groups ---


def _with_groups(*paths: str, etag: str = "1") -> dict[DatasetPath, Entry]:
    found = files_of(*paths, etag=etag)
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
    assert copy.change(note_of(put)) == {".group"}
    assert (copy.groups, copy.entries) == (ledger.entries, {})
    [delete] = ledger.replace(".group", {})
    assert copy.change(note_of(delete)) == {".group"}
    assert copy.groups == {}


@pytest.mark.parametrize("limits", [DEFAULTS.publisher, SMALL_PAGES])
def test_requester_that_does_not_know_groups_gets_none_and_stays_in_step(
    limits: PublisherLimits,
) -> None:
    copy, ledger = CatalogCopy(), Ledger(limits)
    ledger.replace("", _with_groups(".group", "a", "b/.group", "b/c", "d/.group", "e/.group"))
    assert synchronise(copy, ledger) == {"a", "b/c"}
    assert copy.is_current(beat_of(ledger.rev))
    # It can't read the note of a group, and finds out by the next one, or by a beat.
    ledger.replace("", _with_groups("a", ".group", "d/.group", etag="2"))
    assert not copy.is_current(beat_of(ledger.rev))
    assert synchronise(copy, ledger) == {"a", "b/c"}
    assert copy.is_current(beat_of(ledger.rev))
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
        ledger.replace(scope, files_of(*sorted(within(scope, paths))))
        assert within(scope, set(ledger.entries)) == within(scope, paths)


# --- pages ---


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_a_catalog_comes_in_pages(count: int) -> None:
    ledger = Ledger(SMALL_PAGES)
    ledger.replace("", files_of(*(f"f{n:02}" for n in range(count))))
    pages = list(pages_of(ledger, -1))
    assert all(page.full and len(page.entries) <= 3 for page in pages)
    assert len(pages) == max(1, -(-count // 3))
    assert [entry.path for page in pages for entry in page.entries] == sorted(ledger.entries)


def test_what_changed_since_a_revision() -> None:
    ledger = Ledger()
    ledger.replace("", files_of("a", "b", "c"))
    ledger.replace("", files_of("a", "c", etag="2"))
    page = ledger.page(1, "i", 3, "")
    assert not page.full
    assert {(e.path, e.etag) for e in page.entries} == {("a", "2"), ("c", "2")}
    assert page.deleted == ("b",)
    assert page.rev == ledger.rev


def test_nothing_changed_since_the_last_revision() -> None:
    ledger = Ledger()
    ledger.replace("", files_of("a"))
    page = ledger.page(1, "i", 1, "")
    assert (page.full, page.entries, page.deleted) == (False, (), ())


@pytest.mark.parametrize("since", [-1, 99])
def test_a_revision_that_is_not_known_gets_everything(since: int) -> None:
    ledger = Ledger()
    ledger.replace("", files_of("a"))
    assert ledger.page(1, "i", since, "").full


def test_who_missed_more_than_is_remembered_gets_everything() -> None:
    ledger = Ledger(replace(DEFAULTS.publisher, catalog_history=2))
    ledger.replace("", files_of("a", "b", "c"))
    assert ledger.page(1, "i", 0, "").full
    assert not ledger.page(1, "i", 1, "").full


def test_changes_that_just_fit_a_page_are_one() -> None:
    ledger = Ledger(SMALL_PAGES)
    ledger.replace("", files_of(*"abc"))
    assert not ledger.page(1, "i", 0, "").full


def test_an_empty_catalog_has_nothing_to_tell_of_its_first_revision() -> None:
    assert not Ledger().page(1, "i", 0, "").full


def test_too_many_changes_for_a_page_give_everything() -> None:
    ledger = Ledger(SMALL_PAGES)
    ledger.replace("", files_of(*"abcd"))
    assert ledger.page(1, "i", 0, "").full
