"""The broker's mind: leases and fences, with a virtual clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from leasing import TTL, beat, giving_back, request, roots

import caterva2
from caterva2.broker.leases import Registry
from caterva2.errors import Fenced, NotFound, RootTaken, TooLarge
from caterva2.limits import DEFAULTS
from caterva2.names import RootName
from caterva2.wire.messages import (
    Change,
    RootDown,
    RootsNote,
    RootUp,
)


@pytest.fixture
def registry() -> Registry:
    return Registry("b1", (), 0.0)


def _kinds(notes: list[RootsNote]) -> list[str]:
    return [note.reason if isinstance(note, RootDown) else note.type for note in notes]


def test_the_first_holder_gets_the_root(registry: Registry) -> None:
    granted, notes = registry.register(request(), b"p", 0)
    assert (granted.id, granted.root, granted.fence, granted.binst) == (5, "foo", 1, "b1")
    assert granted.lease_ms == TTL * 1000
    (note,) = notes
    assert isinstance(note, RootUp)
    assert (note.root, note.fence, note.seq, note.binst) == ("foo", 1, 1, "b1")


def test_a_second_publisher_is_refused_and_told_who_holds_the_root(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    with pytest.raises(RootTaken) as refused:
        registry.register(request(inst="i2"), b"q", 1)
    assert str(refused.value) == "root foo is published by i1 at tcp://127.0.0.1:1"
    assert refused.value.info == {"lease_ms": (TTL - 1) * 1000}


def test_a_refusal_names_all_endpoints_of_the_holder(registry: Registry) -> None:
    registry.register(request(endpoints=("tcp://h:1", "tcp://h:2")), b"p", 0)
    with pytest.raises(RootTaken, match="at tcp://h:1, tcp://h:2"):
        registry.register(request(inst="i2"), b"q", 1)


def test_a_refusal_takes_back_no_lease_that_ran_out(registry: Registry) -> None:
    registry.register(request("bar"), b"o", 0)
    registry.register(request(), b"p", TTL / 2)
    with pytest.raises(RootTaken):
        registry.register(request(inst="i2"), b"q", TTL)
    assert _kinds(registry.expire(TTL)) == ["expired"]


def test_takeover_needs_the_same_key(registry: Registry) -> None:
    registry.register(request(curve_key="k"), b"p", 0)
    for other in ({"curve_key": "l"}, {"curve_key": ""}):
        with pytest.raises(RootTaken):
            registry.register(request(inst="i2", takeover=True, **other), b"q", 1)
    with pytest.raises(RootTaken):
        registry.register(request(inst="i2", curve_key="k"), b"q", 1)
    granted, notes = registry.register(request(inst="i2", takeover=True, curve_key="k"), b"q", 1)
    assert granted.fence == 2
    assert _kinds(notes) == ["replaced", "root-up"]


def test_no_takeover_without_keys(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    with pytest.raises(RootTaken):
        registry.register(request(inst="i2", takeover=True), b"q", 1)


def test_a_lease_that_nobody_renews_expires(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    assert registry.expire(TTL - 0.1) == []
    assert _kinds(registry.expire(TTL)) == ["expired"]
    assert registry.expire(TTL) == []
    assert roots(registry) == set()


def test_after_expiry_somebody_else_may_have_the_root(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    registry.expire(TTL)
    assert registry.register(request(inst="i2"), b"q", TTL)[0].fence == 2


def test_a_root_whose_lease_has_just_expired_changes_hands_without_a_beat_between(
    registry: Registry,
) -> None:
    registry.register(request(), b"p", 0)
    with pytest.raises(RootTaken):
        registry.register(request(inst="i2"), b"q", TTL - 0.001)
    granted, notes = registry.register(request(inst="i2"), b"q", TTL)
    assert (granted.fence, _kinds(notes)) == (2, ["expired", "root-up"])
    assert [(note.fence, note.binst) for note in notes] == [(1, "b1"), (2, "b1")]
    assert registry.connections == 1


@pytest.mark.parametrize("how", ["register", "heard", "admits"])
def test_what_renews_a_lease(registry: Registry, how: str) -> None:
    registry.register(request(), b"p", 0)
    if how == "register":
        granted, notes = registry.register(request(), b"p2", 8)
        assert (granted.fence, notes) == (1, [])
    elif how == "heard":
        registry.heard(b"p", 8)
    else:
        assert registry.admits(beat(1), 8)
    assert registry.expire(8 + TTL - 0.1) == []
    assert _kinds(registry.expire(8 + TTL)) == ["expired"]


def test_after_a_renewal_only_the_new_connection_is_heard(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    registry.register(request(), b"p2", 1)
    registry.heard(b"p", 8)
    registry.heard(b"p2", 5)
    assert registry.expire(5 + TTL - 0.001) == []
    assert _kinds(registry.expire(5 + TTL)) == ["expired"]


def test_a_renewal_with_the_fence_that_was_granted_keeps_it(registry: Registry) -> None:
    granted, _ = registry.register(request(), b"p", 0)
    again, notes = registry.register(request(fence=granted.fence), b"p", 1)
    assert (again.fence, notes) == (granted.fence, [])


@pytest.mark.parametrize(("key", "ended"), [("x", ["expired"]), ("k2", [])])
def test_who_takes_the_name_of_a_connection_renews_nothing(key: str, ended: list[str]) -> None:
    """ROUTER's peers may name their connections themselves."""
    registry = Registry("b1", (), 0, holder={"k": "pub", "k2": "pub", "x": "other"}.__getitem__)
    registry.register(request(), b"p", 0, key="k")
    registry.heard(b"p", 8, key)
    assert _kinds(registry.expire(TTL)) == ended


def test_what_strangers_say_renews_nothing(registry: Registry) -> None:
    registry.register(request("_"), b"p", 0)
    registry.heard(b"q", 8)
    registry.heard(b"", 8)
    assert _kinds(registry.expire(TTL)) == ["expired"]


def test_a_renewal_from_another_place_is_announced(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    granted, notes = registry.register(request(endpoints=("tcp://h:2",)), b"p", 1)
    assert (granted.fence, _kinds(notes)) == (1, ["root-up"])


def test_a_short_lease_is_kept_short(registry: Registry) -> None:
    registry.register(request(ttl_ms=500), b"p", 0)
    assert _kinds(registry.expire(0.5)) == ["expired"]


@pytest.mark.parametrize(
    ("root", "inst", "fence"), [("foo", "i2", 1), ("foo", "i1", 2), ("bar", "i1", 1)]
)
def test_notes_of_others_are_not_admitted(
    registry: Registry, root: str, inst: str, fence: int
) -> None:
    registry.register(request(), b"p", 0)
    note = Change.model_validate(
        {"root": root, "inst": inst, "fence": fence, "rev": 1, "op": "delete", "path": "x"}
    )
    assert not registry.admits(note, 8)
    assert _kinds(registry.expire(TTL)) == ["expired"]


def test_a_holder_gives_its_root_back(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    assert _kinds(registry.unregister(giving_back("foo", "i1", 1))) == ["closed"]
    assert roots(registry) == set()


@pytest.mark.parametrize(
    ("root", "inst", "fence"), [("foo", "i2", 1), ("foo", "i1", 0), ("bar", "i1", 1)]
)
def test_nobody_else_gives_it_back(registry: Registry, root: str, inst: str, fence: int) -> None:
    registry.register(request(), b"p", 0)
    with pytest.raises(Fenced, match=f"^{inst} does not hold root {root}$"):
        registry.unregister(giving_back(root, inst, fence))
    assert roots(registry) == {"foo"}


def test_a_restart_of_the_broker_disturbs_nobody(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    restarted = Registry("b2", registry.dump(), 100.0)
    assert roots(restarted) == {"foo"}
    with pytest.raises(RootTaken):
        restarted.register(request(inst="i2"), b"q", 101.0)
    assert restarted.register(request(), b"p", 101.0)[0].fence == 1
    assert restarted.expire(100.0 + TTL) == []


def test_a_restored_root_expires_where_its_holder_is_gone(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    restarted = Registry("b2", registry.dump(), 100.0)
    restarted.heard(b"", 105.0)  # no connection holds it
    assert restarted.expire(100.0 + TTL - 0.001) == []
    assert _kinds(restarted.expire(100.0 + TTL)) == ["expired"]
    assert restarted.connections == 0


def test_a_name_is_forgotten_with_its_lease(registry: Registry) -> None:
    registry.register(request(fence=41), b"p", 0)
    registry.forget(RootName("foo"))
    assert roots(registry) == set()
    assert registry.register(request(inst="i2"), b"q", 1)[0].fence == 1
    with pytest.raises(NotFound, match=r"^the broker knows no root bar$"):
        registry.forget(RootName("bar"))


def test_a_beat_may_be_about_the_last_note_that_was_sent(registry: Registry) -> None:
    registry.register(request(), b"p", 0)
    assert registry.beat(0).seq == 0
    assert registry.beat().seq == 1


def test_a_grant_says_how_often_to_beat(registry: Registry) -> None:
    granted, _ = registry.register(request(ttl_ms=2500), b"p", 0)
    assert granted.beat_ms == DEFAULTS.broker.beat * 1000
    assert granted.lease_ms == 2500
    assert registry.expire(2.249) == []
    registry.register(request(ttl_ms=2500), b"p", 2.25)
    assert registry.expire(4.749) == []
    assert _kinds(registry.expire(4.75)) == ["expired"]


def test_each_note_has_the_next_number_and_the_beat_repeats_the_last(registry: Registry) -> None:
    notes = (
        registry.register(request("a"), b"p", 0)[1] + registry.register(request("b"), b"q", 0)[1]
    )
    notes += registry.expire(TTL)
    assert [note.seq for note in notes] == [1, 2, 3, 4]
    assert (registry.beat().seq, registry.beat().binst) == (4, "b1")


def test_a_snapshot_comes_in_parts() -> None:
    registry = Registry("b1", (), 0, replace(DEFAULTS.broker, snapshot_page=2))
    for name in "abcde":
        registry.register(request(name), name.encode(), 0)
    parts = registry.snapshot(9)
    assert [(p.id, p.part, p.parts, p.complete, p.seq) for p in parts] == [
        (9, 0, 3, False, 5),
        (9, 1, 3, False, 5),
        (9, 2, 3, True, 5),
    ]
    assert [info.root for part in parts for info in part.roots] == list("abcde")


def test_a_snapshot_of_nothing_is_one_part(registry: Registry) -> None:
    (part,) = registry.snapshot(1)
    assert (part.complete, part.parts, part.roots) == (True, 1, ())


def test_there_is_a_most_of_roots() -> None:
    registry = Registry("b1", (), 0, replace(DEFAULTS.broker, roots=1))
    registry.register(request("a"), b"p", 0)
    with pytest.raises(TooLarge, match=r"root b .*ROOTS \(1\).*--forget"):
        registry.register(request("b"), b"q", 0)
    assert roots(registry) == {"a"}


def test_one_address_does_not_use_all_names_up() -> None:
    registry = Registry("b1", [], 0, replace(DEFAULTS.broker, address_roots=2))
    for name in "ab":
        registry.register(request(name), name.encode(), 0, "10.0.0.1")
    with pytest.raises(TooLarge, match=r"root c .*10\.0\.0\.1 .*ADDRESS_ROOTS \(2\)"):
        registry.register(request("c"), b"c", 0, "10.0.0.1")
    registry.register(request("c"), b"c", 0, "10.0.0.2")
    registry.expire(TTL)
    for name in "abc":  # names that are known, to come back with
        registry.register(request(name, "i2"), name.encode() + b"2", TTL, "10.0.0.1")


def test_names_of_an_earlier_run_count_for_no_address() -> None:
    limits = replace(DEFAULTS.broker, address_roots=1)
    registry = Registry("b1", [], 0, limits)
    registry.register(request("a"), b"p", 0, "h")
    restarted = Registry("b2", registry.dump(), 0, limits)
    restarted.register(request("b"), b"q", 0, "h")
    assert roots(restarted) == {"a", "b"}


def test_connections_that_a_publisher_left_are_forgotten(registry: Registry) -> None:
    for n in range(5):
        registry.register(request(), b"p%d" % n, n)
    assert registry.connections == 1
    registry.register(request("bar", "i2"), b"q", 5)
    assert registry.connections == 2
    registry.unregister(giving_back("foo", "i1", 1))
    assert registry.connections == 1
    registry.expire(1000)
    assert registry.connections == 0


def test_no_lease_depends_on_the_time_of_day() -> None:
    """A clock that is set ends none, and keeps none; manifests only name their time."""
    package = Path(caterva2.__file__).parent
    for part in ("broker", "publisher", "wire"):
        modules = {*(package / part).rglob("*.py")} - {package / "publisher/signatures.py"}
        assert not [path for path in modules if "time.time" in path.read_text()]
