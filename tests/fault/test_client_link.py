"""A bad link between client and subscriber: values are right, and no wait is endless."""

from __future__ import annotations

import time

import numpy as np
import pytest

import caterva2
from tests.conftest import eventually
from tests.fault.linked import NAME, Linked
from tests.fault.proxy import Way


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
    assert time.monotonic() - began < 20
    world.web.heal()
    assert world.read(2, client)


def test_client_gives_up_in_time_when_its_subscriber_vanished(world: Linked) -> None:
    client = world.client(timeout=1.0)
    assert world.read(1, client)
    world.web.vanish(Way.BACK)
    began = time.monotonic()
    with pytest.raises(caterva2.Unreachable):
        client.fetch(NAME, 2)
    assert time.monotonic() - began < 20
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
