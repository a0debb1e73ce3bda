"""A bad link between publisher and subscriber: reads end right, or with a clear error."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from pathlib import Path

import blosc2
import numpy as np
import pytest

import caterva2
from tests.conftest import HASTY, Stack, eventually
from tests.fault.linked import NAME, ROWS, Linked
from tests.fault.proxy import Proxy

OFTEN = 6


def test_link_with_a_delay(world: Linked) -> None:
    world.data.delay = 0.1
    np.testing.assert_array_equal(world.stack.client.fetch(NAME), world.values)


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


def test_reader_that_goes_here_and_there_gets_nothing_else(world: Linked) -> None:
    rows = [37 * n % ROWS for n in range(1, 30)]
    before = world.stack.metric("fetched_chunks_total")
    assert all(world.read(n) for n in rows)
    assert world.stack.metric("fetched_chunks_total") == before + len(rows)


def test_thin_link_carries_a_chunk_that_takes_longer_than_the_silence_limit(
    stack: Stack, tmp_path: Path
) -> None:
    source = tmp_path / "thin"
    source.mkdir()
    values = np.random.default_rng(0).random((2, 150_000))
    blosc2.asarray(values, chunks=(1, 150_000), urlpath=str(source / "a.b2nd"))
    stack.configure("[limits.wire]\nfirst_byte = 1\n")
    port = stack.hold_port()
    with Proxy(port.number) as proxy:
        stack.start_broker()
        advertise = "--advertise", f"127.0.0.1:{proxy.port}"
        stack.start_publisher("thin", source, endpoint=port.address, given=advertise)
        stack.start_subscriber()
        stack.subscribe("thin")
        proxy.bandwidth = 600_000.0
        before = proxy.carried
        np.testing.assert_array_equal(stack.client.fetch("thin/a.b2nd", 1), values[1])
        assert proxy.carried - before < 1.2 * values[1].nbytes  # it crossed once


@pytest.mark.parametrize(("share", "count"), [("cut_share", "cuts"), ("damage_share", "damaged")])
def test_values_are_right_over_a_link_that_cuts_or_damages(
    world: Linked, share: str, count: str
) -> None:
    enough = getattr(world.data, count) + OFTEN
    setattr(world.data, share, 0.05)
    for n in range(ROWS):
        eventually(lambda n=n: world.read(n), timeout=60)  # type: ignore[misc]
        if getattr(world.data, count) >= enough:
            break
    assert getattr(world.data, count) >= enough
    setattr(world.data, share, 0.0)
    np.testing.assert_array_equal(world.stack.client.fetch(NAME), world.values)


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


def test_publisher_that_was_stopped_goes_on(stack: Stack, tmp_path: Path) -> None:
    stack.configure(HASTY)
    with contextlib.closing(Linked(stack, tmp_path)) as linked:
        publisher = stack.children["pub"].process
        publisher.send_signal(signal.SIGSTOP)
        try:
            eventually(lambda: stack.client.get_roots()["data"].get("offline") is True, timeout=30)
        finally:
            publisher.send_signal(signal.SIGCONT)
        eventually(lambda: linked.read(2), timeout=60)


def test_subscriber_that_was_stopped_goes_on(world: Linked) -> None:
    subscriber = world.stack.children["sub"].process
    subscriber.send_signal(signal.SIGSTOP)
    time.sleep(0.5)  # the fault itself: longer than anything is under way
    subscriber.send_signal(signal.SIGCONT)
    assert world.read(3)


def test_fetch_ends_when_its_only_client_went_away(world: Linked) -> None:
    world.data.bandwidth = 300_000.0
    hasty = caterva2.Client(world.stack.url, timeout=0.5)
    began = world.stack.metric("fetched_chunks_total")
    with pytest.raises(caterva2.Unreachable):
        hasty.fetch(NAME)

    def stands_still() -> bool:
        before = world.stack.metric("fetched_chunks_total")
        time.sleep(0.7)  # what is observed: nothing comes for a while, in which two would
        return world.stack.metric("fetched_chunks_total") == before

    eventually(stands_still, timeout=30)
    assert world.stack.metric("fetched_chunks_total") - began < ROWS - 1
    world.data.bandwidth = 0.0
    np.testing.assert_array_equal(world.stack.client.fetch(NAME), world.values)
