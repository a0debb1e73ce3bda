"""The leases of mirrors at a broker, with a virtual clock"""

from __future__ import annotations

from typing import Any

import pytest
from leasing import TTL, giving_back, request, roots

from caterva2.broker.announcements import MIRRORS_A_ROOT
from caterva2.broker.leases import Registry
from caterva2.errors import Fenced, NotAllowed, NotFound, RootTaken, TooLarge
from caterva2.limits import BrokerLimits, constants
from caterva2.names import RootName
from caterva2.wire import codec
from caterva2.wire.messages import Mirror, Renew, RootDown, RootUp, Unmirror

FOO = RootName("foo")
LONG = f"tcp://{'h' * 244}:65535"


def mirror(name: str = "m1", **fields: Any) -> Mirror:
    given = {"root": "foo", "inst": "i1", "fence": 1, "endpoint": "tcp://127.0.0.1:2"}
    return Mirror.model_validate({"mirror": name} | given | fields)


def unmirror(name: str = "m1") -> Unmirror:
    return Unmirror(root=FOO, mirror=name)


def away(registry: Registry) -> dict[str, tuple[str, ...]]:
    """Return the mirrors of roots without a publisher as a snapshot has them."""
    parts = registry.snapshot(1)
    return {info.root: tuple(m.mirror for m in info.mirrors) for p in parts for info in p.away}


@pytest.fixture
def registry() -> Registry:
    made = Registry("b1", (), 0.0)
    made.register(request(), b"p", 0)
    return made


def test_a_mirror_is_announced_with_its_root(registry: Registry) -> None:
    granted, (note,) = registry.mirror(mirror("m2", path=("m1",), load=10), 0)
    assert (granted.root, granted.fence, granted.lease_ms) == (FOO, 1, TTL * 1000)
    assert isinstance(note, RootUp)
    assert [one.mirror for one in note.mirrors] == ["m2"]
    _, (note,) = registry.mirror(mirror("m3"), 0)
    assert isinstance(note, RootUp)
    assert [one.mirror for one in note.mirrors] == ["m3", "m2"]  # the nearest to the origin first
    (part,) = registry.snapshot(1)
    assert part.roots[0].mirrors == note.mirrors


def test_only_what_readers_need_is_announced_anew(registry: Registry) -> None:
    registry.mirror(mirror(load=50), 0)
    assert registry.mirror(mirror(load=60), 1)[1] == []
    assert len(registry.mirror(mirror(load=80), 1)[1]) == 1
    assert len(registry.mirror(mirror(load=80, complete=True), 1)[1]) == 1


@pytest.mark.parametrize("wrong", [{"inst": "i2"}, {"fence": 2}])
def test_a_mirror_of_another_publisher_is_refused(registry: Registry, wrong: Any) -> None:
    with pytest.raises(Fenced):
        registry.mirror(mirror(**wrong), 0)


def test_a_root_without_a_publisher_gets_no_mirror(registry: Registry) -> None:
    registry.unregister(giving_back("foo", "i1", 1))
    with pytest.raises(NotFound):
        registry.mirror(mirror(), 0)


def test_a_root_has_so_many_mirrors(registry: Registry) -> None:
    for n in range(constants.MIRRORS):
        registry.mirror(mirror(f"m{n}"), 0)
    with pytest.raises(TooLarge):
        registry.mirror(mirror("another"), 0)
    registry.mirror(mirror("m0"), 0)


def test_a_mirror_belongs_to_the_holder_of_its_key() -> None:
    registry = Registry("b1", (), 0.0, holder=lambda key: key[:1])
    registry.register(request(), b"p", 0, key="p1")
    registry.mirror(mirror(), 0, "a1")
    registry.mirror(mirror(), 0, "a2")
    with pytest.raises(NotAllowed):
        registry.mirror(mirror(), 0, "b1")
    assert registry.unmirror(unmirror(), "b1") == []
    assert len(registry.unmirror(unmirror(), "a1")) == 1


def test_the_lease_of_a_mirror_ends_alone(registry: Registry) -> None:
    registry.mirror(mirror(), 1)
    registry.mirror(mirror("m2"), 1)
    registry.register(request(), b"p", 5)
    (note,) = registry.unmirror(unmirror("m2"))
    assert isinstance(note, RootUp)
    assert [one.mirror for one in note.mirrors] == ["m1"]
    (note,) = registry.expire(1 + TTL)
    assert isinstance(note, RootUp)
    assert note.mirrors == ()
    assert registry.unmirror(unmirror("m2")) == []


def test_a_root_stays_announced_while_it_has_mirrors(registry: Registry) -> None:
    registry.mirror(mirror(), 5)
    (note,) = registry.expire(TTL)
    assert isinstance(note, RootDown)
    assert note.away is not None
    assert (note.away.away, note.away.inst, note.away.fence) == (True, "i1", 1)
    assert roots(registry) == set()
    assert away(registry) == {"foo": ("m1",)}
    (note,) = registry.mirror(mirror("m2"), TTL)[1]
    assert isinstance(note, RootDown)
    assert (note.reason, away(registry)) == ("expired", {"foo": ("m1", "m2")})
    notes = registry.expire(5 + TTL) + registry.expire(3 * TTL)
    assert [note.away is None for note in notes if isinstance(note, RootDown)] == [False, True]
    assert away(registry) == {}
    with pytest.raises(NotFound):
        registry.mirror(mirror(), 4 * TTL)


def test_a_publisher_that_is_back_begins_without_mirrors(registry: Registry) -> None:
    registry.mirror(mirror(), 1)
    registry.unregister(giving_back("foo", "i1", 1))
    granted, (note,) = registry.register(request(), b"p", 2)
    assert isinstance(note, RootUp)
    assert (note.mirrors, away(registry)) == ((), {})
    assert len(registry.mirror(mirror(fence=granted.fence), 2)[1]) == 1


def test_a_broker_that_restarts_takes_mirrors_of_a_root_without_a_publisher(
    registry: Registry,
) -> None:
    registry.mirror(mirror(), 1)
    registry.unregister(giving_back("foo", "i1", 1))
    again = Registry("b2", registry.dump(), 100.0)
    assert away(again) == {}
    assert len(again.mirror(mirror(), 100)[1]) == 1
    assert away(again) == {"foo": ("m1",)}


def test_a_revoked_key_has_no_mirrors(registry: Registry) -> None:
    registry.mirror(mirror(), 1, "k")
    (note,) = registry.revoke(lambda *_: True, lambda key, root: (key, root) != ("k", "foo"))
    assert isinstance(note, RootUp)
    assert note.mirrors == ()


def test_a_mirror_that_publishes_elsewhere_has_the_run_of_its_origin(registry: Registry) -> None:
    with pytest.raises(RootTaken):  # another process of this run: the publisher is here
        registry.register(request(mirror="m1", takeover=True), b"q", 1)
    registry.unregister(giving_back("foo", "i1", 1))
    assert registry.register(request(mirror="m1"), b"q", 1)[0].fence == 2
    with pytest.raises(RootTaken) as refused:
        registry.register(request(mirror="m2", takeover=True), b"r", 1)
    assert refused.value.info == {"lease_ms": TTL * 1000, "inst": "i1", "fence": 2}
    assert len(registry.mirror(mirror("m2", fence=2), 1)[1]) == 1  # by which it may join that
    granted, notes = registry.register(request(inst="i2", mirror="m1", takeover=True), b"q", 1)
    assert (granted.fence, [note.type for note in notes]) == (3, ["root-down", "root-up"])


@pytest.mark.parametrize("who", [{"inst": "i1"}, {"inst": "i2", "former": "i1"}])
def test_the_origin_takes_its_name_back_from_a_mirror(
    registry: Registry, who: dict[str, str]
) -> None:
    """In a ring of sites a mirror of its own data gets the name when the origin gives it up."""
    registry.unregister(giving_back("foo", "i1", 1))
    registry.register(request(mirror="m1"), b"q", 1)
    for other in ({"inst": "i2"}, {"inst": "i2", "former": "i0"}):
        with pytest.raises(RootTaken):
            registry.register(request(**other), b"p", 2)
    granted, notes = registry.register(request(**who), b"p", 2)
    assert (granted.fence, [note.type for note in notes]) == (3, ["root-down", "root-up"])
    with pytest.raises(RootTaken):
        registry.register(request(mirror="m1", takeover=True), b"q", 3)


def test_the_longest_announcements_fit_into_messages() -> None:
    registry = Registry("b" * 64, (), 0.0)
    root = "r" * constants.ROOT_NAME
    fields = {"curve_key": "k" * 64, "inst": "i" * 64}
    registry.register(request(root, endpoints=(LONG,) * 8, rights="r" * 32, **fields), b"p", 0)
    path = ("p" * constants.MIRROR_NAME,) * (constants.MIRROR_HOPS - 1)
    for n in range(constants.MIRRORS):
        name = f"{n}".zfill(constants.MIRROR_NAME)
        notes = registry.mirror(mirror(name, root=root, path=path, endpoint=LONG, **fields), 0)[1]
    (part,) = registry.snapshot(1)
    notes += registry.unregister(giving_back(root, "i" * 64, 1))
    for note in notes:
        assert sum(map(len, codec.encode(note))) < constants.NOTE_BYTES
    of_part = constants.SNAPSHOT_ROOTS // (1 + constants.MIRRORS // MIRRORS_A_ROOT)
    assert of_part * sum(map(len, codec.encode(part))) < constants.HEADER_BYTES


def test_roots_with_mirrors_take_more_of_a_part_of_a_snapshot() -> None:
    registry = Registry("b", (), 0.0, BrokerLimits(snapshot_page=4))
    for root in ("a", "b", "c", "d"):
        registry.register(request(root), root.encode(), 0)
        for n in range(constants.MIRRORS if root in "ab" else 0):
            registry.mirror(mirror(f"m{n}", root=root), 0)
    found = [[info.root for info in part.roots] for part in registry.snapshot(1)]
    assert found == [["a"], ["b", "c"], ["d"]]


def test_one_request_renews_what_a_mirror_has(registry: Registry) -> None:
    registry.register(request("bar"), b"q", 0)
    for root, name in (("foo", "m1"), ("bar", "m1"), ("bar", "m2")):
        registry.mirror(mirror(name, root=root), 0, "a")
    all_roots = FOO, RootName("gone"), RootName("bar")
    renew = Renew(mirror="m1", roots=all_roots, ttl_ms=int(TTL * 2000))
    assert registry.mirrors.prolong(renew, 5, "b") == ()
    assert registry.mirrors.prolong(renew, 5, "a") == (FOO, "bar")
    registry.register(request("bar"), b"q", 5)
    (note,) = registry.expire(TTL)[1:]
    assert isinstance(note, RootUp)
    assert [one.mirror for one in note.mirrors] == ["m1"]
    assert away(registry) == {"foo": ("m1",)}
    registry.register(request(), b"p", TTL)
    assert registry.mirrors.prolong(renew, TTL, "a") == ("bar",)  # foo has another fence
    registry.expire(3 * TTL - 1)
    assert away(registry) == {"bar": ("m1",)}
    registry.expire(3 * TTL)
    assert away(registry) == {}
