"""A subscriber's directory of roots, whatever becomes of the notes on their way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.broker.leases import Registry
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.root_directory import RootDirectory
from caterva2.wire.messages import BrokerBeat, Register, RootDown, RootsNote, RootUp, Snapshot
from tests.thoroughness import examples


def _info(root: str = "foo", fence: int = 1) -> RootInfo:
    return RootInfo(root=RootName(root), inst="i", fence=fence, endpoints=("tcp://h:1",))


def _up(seq: int, root: str = "foo", fence: int = 1, binst: str = "b") -> RootUp:
    return RootUp(**_info(root, fence).model_dump(), seq=seq, binst=binst)


def _down(seq: int, root: str = "foo", fence: int = 1, binst: str = "b") -> RootDown:
    return RootDown(seq=seq, binst=binst, root=RootName(root), fence=fence, reason="closed")


def _beat(seq: int, binst: str = "b") -> BrokerBeat:
    return BrokerBeat(seq=seq, binst=binst)


def _snapshot(seq: int, *infos: RootInfo, binst: str = "b") -> list[Snapshot]:
    return [Snapshot(id=1, binst=binst, seq=seq, part=0, parts=1, complete=True, roots=infos)]


@pytest.fixture
def directory() -> RootDirectory:
    """A directory that knows the empty state of broker b at 0."""
    directory = RootDirectory()
    directory.snapshot(_snapshot(0))
    return directory


def test_it_begins_with_a_snapshot() -> None:
    directory = RootDirectory()
    assert directory.needs_snapshot
    assert directory.snapshot(_snapshot(3, _info())) == {"foo"}
    assert directory.roots == {"foo": _info()}
    assert not directory.needs_snapshot


def test_notes_wait_for_the_snapshot() -> None:
    directory = RootDirectory()
    assert directory.note(_up(4, "bar")) == set()
    assert directory.roots == {}
    assert directory.snapshot(_snapshot(3, _info())) == {"foo", "bar"}


def test_notes_that_the_snapshot_holds_already_are_dropped() -> None:
    directory = RootDirectory()
    directory.note(_up(2, "gone"))
    directory.snapshot(_snapshot(3))
    assert directory.roots == {}


def test_the_next_note_is_applied(directory: RootDirectory) -> None:
    assert directory.note(_up(1)) == {"foo"}
    assert directory.note(_down(2)) == {"foo"}
    assert directory.roots == {}


def test_a_note_that_came_before_is_dropped(directory: RootDirectory) -> None:
    directory.note(_up(1))
    directory.note(_down(2))
    assert directory.note(_up(1)) == set()
    assert (directory.roots, directory.needs_snapshot) == ({}, False)


@pytest.mark.parametrize("note", [_up(2), _beat(1), _up(1, binst="c"), _beat(0, binst="c")])
def test_a_gap_or_another_broker_asks_for_a_snapshot(
    directory: RootDirectory, note: RootsNote
) -> None:
    assert directory.note(note) == set()
    assert directory.needs_snapshot


def test_the_note_behind_a_gap_is_not_lost(directory: RootDirectory) -> None:
    directory.note(_up(2))
    assert directory.snapshot(_snapshot(1, _info("bar"))) == {"bar", "foo"}


def test_the_beat_of_what_is_known_changes_nothing(directory: RootDirectory) -> None:
    assert directory.note(_beat(0)) == set()
    assert not directory.needs_snapshot


def test_a_gap_in_the_queue_asks_again() -> None:
    directory = RootDirectory()
    directory.note(_up(5))
    directory.snapshot(_snapshot(3))
    assert directory.needs_snapshot


def test_parts_of_different_snapshots_are_not_mixed() -> None:
    directory = RootDirectory()
    assert directory.snapshot([*_snapshot(3, _info()), *_snapshot(4)]) == set()
    assert directory.needs_snapshot


def test_a_snapshot_tells_what_changed_by_it(directory: RootDirectory) -> None:
    directory.snapshot(_snapshot(5, _info("a"), _info("b"), _info("c")))
    changed = directory.snapshot(_snapshot(9, _info("a"), _info("b", fence=2), _info("d")))
    assert changed == {"b", "c", "d"}


def test_the_end_of_an_older_holder_is_not_the_end_of_the_root(directory: RootDirectory) -> None:
    directory.note(_up(1, fence=5))
    assert directory.note(_down(2, fence=4)) == set()
    assert directory.roots.keys() == {"foo"}


ACTIONS = st.sampled_from(["up", "down", "expire", "beat", "restart", "deliver", "ask", "answer"])


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(ACTIONS, st.integers(0, 30)), max_size=60))
def test_what_a_directory_believes_to_know_is_true(actions: list[tuple[str, int]]) -> None:
    """Notes are lost, doubled and reordered; snapshots are late; the broker restarts."""
    registry, directory = Registry("b", (), 0.0), RootDirectory()
    wire: list[RootsNote] = []
    answers: list[list[Snapshot]] = []
    now = 0.0
    for count, (action, n) in enumerate(actions):
        name = "abc"[n % 3]
        held = {i.root: i for part in registry.snapshot(1) for i in part.roots}
        if action == "up" and name not in held:
            asked = Register.model_validate(_info(name).model_dump() | {"inst": f"i{count}"})
            wire += registry.register(asked, name.encode(), now)[1]
        elif action == "expire":
            now += 5.0
            wire += registry.expire(now)
        elif action == "beat":
            wire.append(registry.beat())
        elif action == "restart":
            registry = Registry(f"b{count}", registry.dump(), now)
        elif action == "deliver" and wire:
            directory.note(wire[n % len(wire)] if n % 2 else wire.pop(n % len(wire)))
        elif action == "ask":
            answers.append(registry.snapshot(1))
        elif action == "answer" and answers:
            directory.snapshot(answers.pop(n % len(answers)))
    truth = {info.root: info for part in registry.snapshot(1) for info in part.roots}
    directory.note(registry.beat())
    if not directory.needs_snapshot:
        assert directory.roots == truth
    directory.snapshot(registry.snapshot(1))
    assert not directory.needs_snapshot or any(n.binst == registry.binst for n in wire)
    assert directory.roots == truth
