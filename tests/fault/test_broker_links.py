"""Bad links to the broker: changes are seen in the end, and reads go on."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from tests.conftest import eventually
from tests.fault.linked import Linked, write_rows
from tests.fault.proxy import Way
from tests.thoroughness import some

BROKER_LINKS = ("control", "xsub", "xpub")


@pytest.mark.parametrize(("way", "link"), some(list(itertools.product(Way, BROKER_LINKS)), 2))
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
