"""Which of a publisher and its mirrors a subscriber takes a root from"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from caterva2.errors import (
    BadRequest,
    Busy,
    CatervaError,
    ConfigError,
    Damaged,
    Loop,
    NotAllowed,
    NotFound,
    RootOffline,
    StaleVersion,
)
from caterva2.model import MirrorInfo, Origin, RootInfo
from caterva2.names import RootName
from caterva2.subscriber.catalog.copy import CatalogCopy
from caterva2.subscriber.catalog.order import check_hello
from caterva2.subscriber.publishers import choice, places
from caterva2.subscriber.publishers.choice import (
    Behind,
    Choice,
    Fault,
    Provider,
    RoundTrips,
    fault_of,
)
from caterva2.subscriber.publishers.patience import Patience
from caterva2.subscriber.publishers.preferences import MOST, Preferences
from caterva2.wire.messages import PublisherHello

PUBLISHER = Provider("", "10.0.0.1:8001")
NEAR = Provider("near", "10.0.1.1:8003", hops=1)
FAR = Provider("far", "10.0.2.1:8003", hops=2)
LATER = choice.SETTLED + 1


def made(*providers: Provider, **trips: float) -> Choice:
    table = RoundTrips()
    made = Choice(table, draw=lambda: 0.0)
    made.offer(providers)
    for name, seconds in trips.items():
        one = made.providers["" if name == "publisher" else name]
        table.measured(one.place, seconds, 0.0)
    return made


def test_before_any_measurement_the_fewest_hops_count() -> None:
    assert made(FAR, NEAR, PUBLISHER).choose(0.0) == ""
    assert made(FAR, NEAR).choose(0.0) == "near"
    assert made().choose(0.0) is None


def test_the_shortest_round_trip_counts_where_the_settings_prefer_none() -> None:
    assert made(PUBLISHER, NEAR, FAR, publisher=0.1, near=0.003, far=0.05).choose(0.0) == "near"
    liked = Provider("far", FAR.place, hops=2, rank=0)
    others = [Provider(one.name, one.place, one.hops, rank=1) for one in (PUBLISHER, NEAR)]
    assert made(*others, liked, publisher=0.1, near=0.003, far=0.5).choose(0.0) == "far"


def test_load_counts_among_providers_that_are_as_near() -> None:
    busy = Provider("near", NEAR.place, hops=1, load=90)
    idle = Provider("far", FAR.place, hops=1, load=10)
    one = made(busy, near=0.01)
    assert one.choose(0.0) == "near"
    one.trips.measured(FAR.place, 0.0105, 0.0)
    one.offer([busy, idle])
    assert one.choose(1.0) == "near"  # not settled yet
    assert one.choose(LATER) == "far"
    one.offer([Provider("near", NEAR.place, load=40), Provider("far", FAR.place, load=50)])
    assert one.choose(2 * LATER) == "far"


def test_a_little_nearer_or_just_now_is_no_reason_to_change() -> None:
    one = made(PUBLISHER, NEAR, publisher=0.010, near=0.011)
    assert one.choose(0.0) == ""
    one.trips.measured(NEAR.place, 0.005, 1.0)
    assert one.choose(LATER) == ""  # 9.5 ms: not so much nearer
    for _ in range(20):
        one.trips.measured(NEAR.place, 0.004, 1.0)
    assert one.choose(choice.SETTLED - 1) == ""
    assert one.choose(LATER) == "near"
    assert one.choose(LATER) == "near"


def test_a_round_trip_is_smoothed_and_grows_old() -> None:
    trips = RoundTrips()
    assert trips.is_due("here:1", 0.0, 30.0)
    trips.measured("here:1", 0.1, 0.0)
    trips.measured("here:1", 0.2, 1.0)
    assert trips.of("here:1") == pytest.approx(0.125)
    assert not trips.is_due("here:1", 30.0, 30.0)
    assert trips.is_due("here:1", 31.0, 30.0)
    trips.forget_old(100.0, 99.5)
    assert trips.of("here:1") == pytest.approx(0.125)
    trips.forget_old(101.0, 99.5)
    assert trips.of("here:1") == choice.math.inf


def test_what_fails_is_avoided_for_longer_each_time_until_it_answers() -> None:
    one = made(PUBLISHER, NEAR, publisher=0.001, near=0.1)
    one.failed("", Fault.SLOW, 100.0)
    assert one.is_avoided("", 100.0 + choice.PAUSE - 0.1)
    one.failed("", Fault.SLOW, 101.0)  # another request of the same time
    assert one.choose(101.0) == "near"
    assert not one.is_avoided("", 100.0 + choice.PAUSE)
    one.failed("", Fault.BEHIND, 110.0)
    assert one.is_avoided("", 110.0 + 2 * choice.PAUSE - 0.1)
    one.succeeded("", 110.0)  # an answer of before
    assert one.is_avoided("", 111.0)
    one.succeeded("", 120.0)
    one.failed("", Fault.SLOW, 130.0)
    assert not one.is_avoided("", 130.0 + choice.PAUSE)


def test_what_sends_wrong_data_is_avoided_for_long_and_what_lacks_some_is_not() -> None:
    one = made(PUBLISHER, NEAR)
    one.failed("", Fault.WRONG, 0.0)
    one.failed("near", Fault.LACKING, 0.0)
    one.failed("gone", Fault.WRONG, 0.0)
    assert one.is_avoided("", choice.LONGEST_PAUSE - 0.1)
    assert not one.is_avoided("near", 0.0)
    assert one.choose(1.0) == "near"


def test_where_all_are_avoided_the_one_to_be_tried_next_serves() -> None:
    one = made(PUBLISHER, NEAR)
    one.failed("", Fault.WRONG, 0.0)
    one.failed("near", Fault.SLOW, 0.0)
    assert one.choose(0.5) == "near"
    assert one.choose(0.5, unreachable={"near"}) == ""
    assert one.choose(0.5, unreachable={"near"}, tried={""}) is None


def test_a_single_request_is_repeated_elsewhere_without_moving_the_others() -> None:
    one = made(PUBLISHER, NEAR)
    assert one.choose(0.0) == ""
    assert one.choose(LATER, tried={""}) == "near"
    assert one.current == ""


def test_an_provider_that_is_gone_is_not_the_current_one() -> None:
    one = made(PUBLISHER, NEAR)
    assert one.choose(0.0) == ""
    one.offer([NEAR])
    assert one.current is None
    assert one.choose(0.0) == "near"
    one.offer([NEAR, PUBLISHER])
    assert one.choose(0.1) == "near"


@pytest.mark.parametrize(
    ("error", "of_publisher", "of_mirror"),
    [
        (NotFound("x"), None, Fault.LACKING),
        (StaleVersion("x"), None, Fault.LACKING),
        (NotAllowed("x"), None, Fault.WRONG),
        (RootOffline("x"), Fault.LACKING, Fault.LACKING),
        (Busy("x"), Fault.SLOW, Fault.SLOW),
        (Damaged("x"), Fault.WRONG, Fault.WRONG),
        (Loop("x"), Fault.WRONG, Fault.WRONG),
        (Behind("x"), Fault.BEHIND, Fault.BEHIND),
        (BadRequest("x"), None, None),
    ],
)
def test_an_error_says_whether_another_provider_may_answer(
    error: CatervaError, of_publisher: Fault | None, of_mirror: Fault | None
) -> None:
    assert fault_of(error, of_publisher=True) is of_publisher
    assert fault_of(error, of_publisher=False) is of_mirror


def test_preferences_name_mirrors_places_hosts_and_networks() -> None:
    given = Preferences(
        ["Near-1", "data.example:8001", "10.1.0.0/16", "other.example", "publisher"]
    )
    assert given.rank("near-1", "192.0.2.1:1") == 0
    assert given.rank("x", "data.example:8001") == 1
    assert given.rank("x", "data.example:8002") == 5
    assert given.rank("x", "10.1.2.3:8001") == 2
    assert given.rank("", "other.example:8001") == 3
    assert given.rank("", "192.0.2.1:1") == 4
    assert Preferences().rank("x", "192.0.2.1:1") == 0
    assert Preferences(["::1"]).rank("x", "[::1]:8001") == 0


@pytest.mark.parametrize("text", ["", "a b", "10.0.0.0/99", "x/y", "*"])
def test_what_is_no_preference_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="prefer"):
        Preferences([text])
    with pytest.raises(ConfigError, match=f"more than {MOST}"):
        Preferences(["a"] * (MOST + 1))


def test_of_two_mirrors_one_takes_the_root_from_the_other() -> None:
    def mirror(name: str, port: int, *path: str) -> MirrorInfo:
        return MirrorInfo(mirror=name, endpoint=f"tcp://h:{port}", path=path)

    mirrors = mirror("a", 1), mirror("c", 2), mirror("aa", 3, "b"), mirror("ab", 1)
    where = RootInfo(
        root=RootName("foo"), inst="i", fence=1, endpoints=("tcp://h:9",), mirrors=mirrors
    )
    assert places.found(where).keys() == {"", "a", "c", "aa"}
    assert places.found(where, own="b").keys() == {"", "a"}
    assert places.found(where, own="b", beside=False).keys() == {"", "a", "c"}
    assert places.found(where, Preferences(["c"]), "b").keys() == {"", "a", "c"}
    assert places.found(where, own="a").keys() == {""}
    away = where.model_copy(update={"away": True})
    assert places.found(away).keys() == {"a", "c", "aa"}
    assert places.found(None) == {}


def test_readers_leave_a_provider_at_different_times() -> None:
    for drawn, stays in ((0.0, False), (1.0, True)):
        one = Choice(RoundTrips(), draw=lambda drawn=drawn: drawn)  # type: ignore[misc]
        one.offer([NEAR, Provider("other", "10.0.3.1:8003", hops=1, load=0)])
        assert one.choose(0.0) == "near"
        one.offer([replace(NEAR, load=90), Provider("other", "10.0.3.1:8003", hops=1)])
        for provider in one.providers.values():
            one.trips.measured(provider.place, 0.001, 0.0)
        assert (one.choose(1.5 * choice.SETTLED) == "near") is stays


def test_patience_grows_with_what_is_awaited_and_where_it_was_too_short() -> None:
    patience = Patience()
    assert patience.seconds(0.001, 0) == 0.8
    assert patience.seconds(1.0, 0) == 2.5
    assert patience.seconds(math.inf, 0) == 1.2
    assert patience.seconds(0.001, 64 * 2**20) > 10
    patience.gave_up("m1", 5.0)
    patience.answered("m1", 6.0)
    assert patience.seconds(0.001, 0) == 1.6
    patience.gave_up("m1", 10.0)
    patience.answered("m1", 60.0)  # it was away
    patience.answered("m2", 60.0)
    assert patience.seconds(0.001, 0) == 1.6


def test_another_site_numbers_its_fences_by_itself() -> None:
    """A root that was published here comes from another site now, under a lower fence."""
    where = RootInfo(
        root=RootName("foo"), inst="new", fence=9, endpoints=("tcp://10.0.0.1:1",), mirror="m1"
    )
    origin = Origin(inst="new", fence=2, rev=1, path=("m1",), as_of=0.0)
    hello = PublisherHello(id=1, inst="new", fence=9, root="foo", rev=1, origin=origin)
    copy = CatalogCopy(inst="old", rev=50, complete=True, fence=9)
    check_hello(hello, where, copy)
    away = hello.model_copy(update={"origin": origin.model_copy(update={"away": True})})
    with pytest.raises(Behind, match="under fence 2"):  # it may be back with an earlier catalog
        check_hello(away, where, copy)
