"""A subscriber's copy of a catalog: notes, pages, and what shows that some were missed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import SMALL_PAGES, beat_of, files_of, note_of, pages_of, synchronise

from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.sources.catalog import Ledger, Step
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.wire.messages import Change, RootBeat
from tests.thoroughness import examples

# --- the copy ---


def test_a_copy_asks_for_everything_first_and_of_another_run() -> None:
    copy, ledger = CatalogCopy(), Ledger()
    assert copy.since("i") == -1
    ledger.replace("", files_of("a"))
    assert synchronise(copy, ledger) == {"a"}
    assert (copy.since("i"), copy.since("j")) == (1, -1)


def test_a_copy_follows_the_notes() -> None:
    copy, ledger = CatalogCopy(), Ledger()
    synchronise(copy, ledger)
    for step in ledger.replace("", files_of("a", "b")) + ledger.replace("", files_of("b")):
        assert copy.is_current(note_of(step))
        assert copy.change(note_of(step)) == {step.path}
    assert copy.entries == ledger.entries


@pytest.mark.parametrize(
    ("note", "current"),
    [
        (beat_of(1), True),
        (beat_of(0), True),
        (beat_of(2), False),
        (beat_of(1, "j"), False),
        (note_of(Step(2, DatasetPath("x"), None)), True),
        (note_of(Step(3, DatasetPath("x"), None)), False),
        (note_of(Step(2, DatasetPath("x"), None), "j"), False),
    ],
)
def test_whether_something_was_missed(note: Change | RootBeat, current: bool) -> None:
    copy, ledger = CatalogCopy(), Ledger()
    ledger.replace("", files_of("a"))
    synchronise(copy, ledger)
    assert copy.is_current(note) is current


def test_a_note_that_is_not_the_next_changes_nothing() -> None:
    copy, ledger = CatalogCopy(), Ledger()
    ledger.replace("", files_of("a"))
    synchronise(copy, ledger)
    for rev in (0, 1, 3):
        assert copy.change(note_of(Step(rev, DatasetPath("a"), None))) == set()
    assert copy.entries == ledger.entries


def test_pages_that_notes_have_overtaken_change_nothing() -> None:
    copy, ledger = CatalogCopy(), Ledger()
    synchronise(copy, ledger)
    steps = ledger.replace("", files_of("a", etag="1"))
    late = list(pages_of(ledger, copy.since("i")))
    steps += ledger.replace("", files_of("a", etag="2"))
    for step in steps:
        copy.change(note_of(step))
    assert copy.take(late) == set()
    assert (copy.rev, copy.entries) == (2, ledger.entries)


def test_after_pages_of_several_revisions_no_note_is_the_next() -> None:
    copy, ledger = CatalogCopy(), Ledger(SMALL_PAGES)
    ledger.replace("", files_of(*"abcd"))
    first = ledger.page(1, "i", -1, "")
    [older] = ledger.replace("d", files_of("d", etag="2"))
    ledger.replace("d", files_of("d", etag="3"))
    copy.take([first, ledger.page(1, "i", -1, first.cursor)])
    assert not copy.is_current(note_of(older))
    synchronise(copy, ledger)
    assert copy.is_current(beat_of(ledger.rev))
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
            for part in pages_of(ledger, copy.since(inst), inst):
                pages.append(part)
                if kept:
                    ledger.replace(name, files_of(name, etag=f"s{count}"))
            copy.take(pages)
        else:
            found = files_of(name, etag=str(count)) if action == "put" else {}
            for step in ledger.replace(name, found):
                note = note_of(step, inst)
                if kept and copy.is_current(note):
                    copy.change(note)
        told = copy.is_current(beat_of(ledger.rev, inst))
        if told:
            assert copy.entries == ledger.entries
    while not copy.is_current(beat_of(ledger.rev, inst)):
        synchronise(copy, ledger, inst)
    assert copy.entries == ledger.entries


# --- changes that the publisher did not make ---


def _forged(path: str, rev: int) -> Change:
    return note_of(Step(rev, DatasetPath(path), None))


def test_second_beat_in_a_row_with_a_lower_revision_asks_for_everything() -> None:
    ledger, copy = Ledger(), CatalogCopy()
    ledger.replace("", files_of("a", "b"))
    synchronise(copy, ledger)
    for path in ("a", "b"):
        copy.change(_forged(path, copy.rev + 1))
    assert copy.entries == {}
    assert copy.is_current(beat_of(ledger.rev))  # one may have been overtaken by a catalog
    assert not copy.is_current(beat_of(ledger.rev))
    assert copy.since("i") == -1
    assert synchronise(copy, ledger) == {"a", "b"}
    assert copy.entries == files_of("a", "b")
    assert copy.is_current(beat_of(ledger.rev))


def test_lower_beat_that_a_right_one_follows_is_forgotten() -> None:
    ledger, copy = Ledger(), CatalogCopy()
    ledger.replace("", files_of("a"))
    synchronise(copy, ledger)
    for _ in range(3):
        assert copy.is_current(beat_of(copy.rev - 1))
        assert copy.is_current(beat_of(copy.rev))


def test_two_changes_of_one_revision_ask_for_everything() -> None:
    """The publisher's own change makes the revisions equal again, but not the entries."""
    ledger, copy = Ledger(), CatalogCopy()
    ledger.replace("", files_of("a", "b"))
    synchronise(copy, ledger)
    copy.change(_forged("a", copy.rev + 1))
    [step] = ledger.replace("b", files_of("b", etag="2"))
    assert not copy.is_current(note_of(step))
    assert not copy.is_current(beat_of(ledger.rev))
    synchronise(copy, ledger)
    assert copy.entries == files_of("a") | files_of("b", etag="2")


def test_changes_that_a_catalog_overtook_ask_for_nothing() -> None:
    ledger, copy = Ledger(), CatalogCopy()
    ledger.replace("", files_of("a"))
    synchronise(copy, ledger)
    steps = ledger.replace("b", files_of("b")) + ledger.replace("c", files_of("c"))
    copy.change(note_of(steps[0]))
    synchronise(copy, ledger)
    assert all(copy.is_current(note_of(step)) for step in steps)
