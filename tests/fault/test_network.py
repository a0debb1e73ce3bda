"""Bad links between all services: reads end right, or with a clear error in time."""

from __future__ import annotations

import concurrent.futures
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import Stack, eventually, free_port
from tests.fault.linked import NAME, ROWS, Linked, write_rows
from tests.fault.proxy import Proxy, Way


@pytest.fixture
def linked(stack: Stack, tmp_path: Path) -> Iterator[Linked]:
    made = Linked(stack, tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linked]:
    directory = tmp_path_factory.mktemp("linked")
    stack = Stack(directory)
    try:
        made = Linked(stack, directory)
        yield made
        made.close()
    finally:
        stack.stop_all()


@pytest.fixture
def world(shared_world: Linked) -> Iterator[Linked]:
    """Services for the tests that leave them well: links are good, and nothing is cached."""
    shared_world.renew()
    yield shared_world
    shared_world.heal()


def test_link_with_a_delay(linked: Linked) -> None:
    linked.data.delay = 0.1
    np.testing.assert_array_equal(linked.stack.client.fetch(NAME), linked.values)


def requests_served(stack: Stack) -> int:
    """Requests that the publisher says that it served, at its end."""
    stack.stop("pub")
    match = re.search(r"served (\d+) requests", stack.log("pub"))
    assert match
    return int(match[1])


def test_reader_that_goes_from_row_to_row_does_not_ask_for_each(linked: Linked) -> None:
    linked.data.delay = 0.05
    assert all(linked.read(n) for n in range(ROWS))
    assert linked.stack.metric("fetched_chunks_total") == ROWS  # and none of them crossed twice
    assert requests_served(linked.stack) < ROWS / 4


def test_reader_that_goes_here_and_there_gets_nothing_else(linked: Linked) -> None:
    rows = [37 * n % ROWS for n in range(30)]
    assert all(linked.read(n) for n in rows)
    assert linked.stack.metric("fetched_chunks_total") == len(rows)


def test_thin_link_carries_a_chunk_that_takes_longer_than_the_silence_limit(
    stack: Stack, tmp_path: Path
) -> None:
    source = tmp_path / "thin"
    source.mkdir()
    values = np.random.default_rng(0).random((2, 500_000))
    blosc2.asarray(values, chunks=(1, 500_000), urlpath=str(source / "a.b2nd"))
    port = free_port()
    with Proxy(port) as proxy:
        stack.start_broker()
        advertise = "--advertise", f"127.0.0.1:{proxy.port}"
        stack.start_publisher("thin", source, port=port, given=advertise)
        stack.start_subscriber()
        stack.subscribe("thin")
        proxy.bandwidth = 600_000.0
        before = proxy.carried
        np.testing.assert_array_equal(stack.client.fetch("thin/a.b2nd", 1), values[1])
        assert proxy.carried - before < 1.2 * values[1].nbytes  # it crossed once


def test_connections_that_are_cut_again_and_again(linked: Linked) -> None:
    linked.data.cut_share = 0.05
    for n in range(ROWS):
        eventually(lambda n=n: linked.read(n), timeout=60)  # type: ignore[misc]
    assert linked.data.cuts > 0
    linked.data.cut_share = 0.0
    np.testing.assert_array_equal(linked.stack.client.fetch(NAME), linked.values)


def test_damaged_bytes_are_never_served(linked: Linked) -> None:
    linked.data.damage_share = 0.05
    for n in range(ROWS):
        eventually(lambda n=n: linked.read(n), timeout=60)  # type: ignore[misc]
    assert linked.data.damaged > 0
    linked.data.damage_share = 0.0
    np.testing.assert_array_equal(linked.stack.client.fetch(NAME), linked.values)


@pytest.mark.slow  # the silence alone takes half a minute
def test_link_that_swallows_everything_for_a_while(linked: Linked) -> None:
    assert linked.read(0)
    linked.data.swallow = True
    began = time.monotonic()
    assert linked.read(0)  # what is cached needs no link
    assert not linked.read(1)
    assert time.monotonic() - began < 60
    linked.data.heal()
    eventually(lambda: linked.read(1), timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_bad_network_at_length(linked: Linked) -> None:
    """Cuts, a delay, and 30 s of nothing: reads end in time, and the loop is never held up."""
    ends: list[float] = []
    refused = 0

    def read(n: int) -> None:
        nonlocal refused
        began = time.monotonic()
        refused += not linked.read(n)
        ends.append(time.monotonic() - began)

    linked.data.delay, linked.data.cut_share = 0.2, 0.05
    for n in range(60):
        read(n)
    linked.data.delay = linked.data.cut_share = 0.0
    linked.data.swallow = True
    hole = threading.Timer(30.0, linked.data.heal)
    hole.start()
    for n in range(60, 80):
        read(n)
    hole.join()
    for n in range(80, ROWS):
        read(n)
    linked.data.cut_share = 0.0
    eventually(lambda: all(linked.read(n) for n in range(ROWS)), 120)
    stall = linked.stack.metric("loop_longest_stall_seconds")
    low, high = np.quantile(ends, [0.5, 1.0])
    assert high < 40
    print(
        f"{len(ends)} reads, {refused} refused, p50 {low:.2f} s, longest {high:.1f} s, "
        f"{linked.data.cuts} cuts, longest stall of the loop {stall * 1000:.0f} ms"
    )


def test_publisher_that_was_stopped_goes_on(linked: Linked) -> None:
    publisher = linked.stack.children["pub"].process
    publisher.send_signal(signal.SIGSTOP)
    try:
        eventually(
            lambda: linked.stack.client.get_roots()["data"].get("offline") is True, timeout=30
        )
    finally:
        publisher.send_signal(signal.SIGCONT)
    eventually(lambda: linked.read(2), timeout=60)


def test_subscriber_that_was_stopped_goes_on(linked: Linked) -> None:
    subscriber = linked.stack.children["sub"].process
    subscriber.send_signal(signal.SIGSTOP)
    time.sleep(0.5)  # the fault itself: longer than anything is under way
    subscriber.send_signal(signal.SIGCONT)
    assert linked.read(3)


def test_fetch_ends_when_its_only_client_went_away(linked: Linked) -> None:
    linked.data.bandwidth = 300_000.0
    hasty = caterva2.Client(linked.stack.url, timeout=1.0)
    with pytest.raises(caterva2.Unreachable):
        hasty.fetch(NAME)

    def stands_still() -> bool:
        before = linked.stack.metric("fetched_chunks_total")
        time.sleep(1.0)  # what is observed: nothing comes for a while
        return linked.stack.metric("fetched_chunks_total") == before

    eventually(stands_still, timeout=30)
    assert linked.stack.metric("fetched_chunks_total") < ROWS
    linked.data.bandwidth = 0.0
    np.testing.assert_array_equal(linked.stack.client.fetch(NAME), linked.values)


def read_while(world: Linked, happens: Callable[[], None]) -> list[bool]:
    """Read rows; something happens to the publisher's link when a part of them has crossed it."""
    world.data.bandwidth = 1e6
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reading = pool.submit(world.read_at_once, range(8))
        carried = world.data.carried
        eventually(lambda: world.data.carried > carried + 50_000)
        happens()
        world.data.bandwidth = 0.0
        return reading.result(60)


@pytest.mark.parametrize("way", Way)
def test_read_survives_a_publisher_link_that_ends_in_one_direction(world: Linked, way: Way) -> None:
    assert all(read_while(world, lambda: world.data.finish(way)))


def test_read_survives_its_publishers_loss_of_the_connection(world: Linked) -> None:
    """The publisher is never told; the subscriber is, and asks again on a new connection."""
    assert all(read_while(world, lambda: world.data.vanish(Way.FORTH)))


@pytest.mark.slow
@pytest.mark.parametrize("way", Way)
def test_read_ends_while_one_direction_of_the_publisher_link_is_dead(
    world: Linked, way: Way
) -> None:
    world.data.mute = way
    began = time.monotonic()
    assert not any(world.read_at_once(range(1, 8)))
    assert time.monotonic() - began < 60
    assert world.read(0)  # what is cached needs no link
    world.data.heal()
    eventually(lambda: world.read(1), timeout=60)


@pytest.mark.parametrize("way", Way)
def test_read_goes_on_after_a_direction_of_the_publisher_link_was_dead(
    world: Linked, way: Way
) -> None:
    world.data.mute = way
    dead = threading.Timer(0.7, world.data.heal)
    dead.start()
    assert all(world.read_at_once(range(8)))
    dead.join()


@pytest.mark.slow
def test_read_survives_a_publisher_that_vanished_without_a_word(world: Linked) -> None:
    """The subscriber is never told: only the silence shows it."""
    assert all(read_while(world, lambda: world.data.vanish(Way.BACK)))


def test_reads_are_right_while_connections_overtake_each_other(world: Linked) -> None:
    """What an old connection had under way comes after its successor's, and is not mixed up."""
    world.data.scatter = 0.2
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reading = pool.submit(world.read_at_once, range(16))
        for _ in range(4):
            time.sleep(0.15)  # the fault itself: connections are lost one after the other
            world.data.vanish(Way.FORTH)
        assert all(reading.result(60))


@pytest.mark.parametrize("way", Way)
def test_client_survives_a_link_that_ends_in_one_direction(world: Linked, way: Way) -> None:
    client = world.client()
    assert world.read(1, client)
    world.web.finish(way)
    assert world.read(2, client)


@pytest.mark.parametrize("way", Way)
def test_client_gives_up_in_time_while_one_direction_is_dead(world: Linked, way: Way) -> None:
    client = world.client(timeout=1.0)
    assert world.read(1, client)
    world.web.mute = way
    began = time.monotonic()
    with pytest.raises(caterva2.Unreachable):
        client.fetch(NAME, 2)
    assert time.monotonic() - began < 5
    world.web.heal()
    assert world.read(2, client)


def test_client_gives_up_in_time_when_its_subscriber_vanished(world: Linked) -> None:
    client = world.client(timeout=1.0)
    assert world.read(1, client)
    world.web.vanish(Way.BACK)
    began = time.monotonic()
    with pytest.raises(caterva2.Unreachable):
        client.fetch(NAME, 2)
    assert time.monotonic() - began < 5
    assert world.read(2, client)


def test_client_that_comes_back_is_served_beside_its_lost_connection(world: Linked) -> None:
    client = world.client()
    assert world.read(1, client)
    world.web.vanish(Way.FORTH)
    assert world.read(2, client)


def test_client_gets_right_values_over_a_link_that_is_cut_again_and_again(world: Linked) -> None:
    client = world.client()
    world.web.cut_share = 0.05
    for n in range(20):
        eventually(lambda n=n: world.read(n, client))  # type: ignore[misc]
    assert world.web.cuts > 0


def test_client_gets_right_values_while_its_connections_overtake_each_other(
    world: Linked,
) -> None:
    world.web.scatter = 0.1
    assert all(world.read_at_once(range(16), world.client()))


def test_whole_read_by_a_client_on_a_thin_and_long_link(world: Linked) -> None:
    world.web.delay, world.web.bandwidth = 0.05, 20e6
    np.testing.assert_array_equal(world.client().fetch(NAME), world.values)


BROKER_LINKS = ("control", "xsub", "xpub")


@pytest.mark.parametrize("link", BROKER_LINKS)
@pytest.mark.parametrize("way", Way)
def test_change_is_seen_after_a_broker_link_ended_in_one_direction(
    world: Linked, link: str, way: Way
) -> None:
    world.links[link].finish(way)
    world.renew()


@pytest.mark.parametrize("link", BROKER_LINKS)
def test_change_is_seen_after_a_broker_link_was_lost(world: Linked, link: str) -> None:
    """The broker is never told, and hears what was under way behind what follows."""
    world.links[link].scatter = 0.3
    world.values = write_rows(world.source)
    time.sleep(0.1)  # the fault itself: what tells of the change is under way
    world.links[link].vanish(Way.FORTH)
    world.renew()


@pytest.mark.slow
def test_reads_go_on_while_all_broker_links_swallow_all(world: Linked) -> None:
    for link in BROKER_LINKS:
        world.links[link].swallow = True
    eventually(lambda: not world.broker_is_heard())
    assert world.read(1)


@pytest.mark.slow
@pytest.mark.parametrize("link", BROKER_LINKS)
@pytest.mark.parametrize("way", Way)
def test_change_is_seen_although_a_broker_link_vanished_without_a_word(
    world: Linked, link: str, way: Way
) -> None:
    world.links[link].vanish(way)
    world.renew()


@pytest.mark.slow
@pytest.mark.parametrize("link", BROKER_LINKS)
@pytest.mark.parametrize("way", Way)
def test_change_is_seen_after_a_direction_of_a_broker_link_was_dead(
    world: Linked, link: str, way: Way
) -> None:
    proxy = world.links[link]
    proxy.mute = way
    dead = threading.Timer(12.0, proxy.heal)  # longer than leases and silences last
    dead.start()
    world.values = write_rows(world.source)
    assert world.stack.client.get_roots()["data"]
    dead.join()
    world.renew()


@pytest.mark.slow
def test_changes_are_seen_while_announcements_overtake_each_other(world: Linked) -> None:
    for link in BROKER_LINKS:
        world.links[link].scatter = 0.5
    for n in range(20):
        world.values = write_rows(world.source)
        time.sleep(0.1)  # the fault itself: connections are lost between changes
        world.links[BROKER_LINKS[n % 3]].vanish(Way.FORTH)
    eventually(world.serves_what_is_there, timeout=30)
