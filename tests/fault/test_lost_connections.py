"""Connections to the publisher that are lost, wholly or in one direction."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable

import pytest

from tests.conftest import eventually
from tests.fault.linked import Linked
from tests.fault.proxy import Way


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
