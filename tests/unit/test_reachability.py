"""Whether a publisher is there while no broker says so, or before it does."""

from __future__ import annotations

import math

import pytest

from caterva2.subscriber.publishers.reachability import UNANSWERED, UNCONNECTED, Link, Reachability

NEVER = -math.inf


@pytest.mark.parametrize(
    ("link", "broker_lost", "patience"),
    [
        (Link.REFUSED, True, UNCONNECTED),
        (Link.ABSENT, True, UNCONNECTED),
        (Link.UP, True, UNANSWERED),
        (Link.REFUSED, False, UNCONNECTED),
        (Link.ABSENT, False, UNANSWERED),
    ],
)
def test_publisher_without_an_answer_is_suspect_after_a_while(
    link: Link, broker_lost: bool, patience: float
) -> None:
    judged = Reachability()
    judged.asked(10.0)
    judged.asked(10.0 + patience / 2)  # asking again proves nothing
    assert not judged.judge(10.0 + patience * 0.9, link, NEVER, broker_lost)
    assert judged.judge(10.0 + patience, link, NEVER, broker_lost)
    assert judged.suspect
    assert not judged.judge(10.1 + patience, link, NEVER, broker_lost)


def test_connected_publisher_is_trusted_as_long_as_the_broker_is_heard() -> None:
    judged = Reachability()
    judged.asked(10.0)
    assert not judged.judge(99.0, Link.UP, NEVER, broker_lost=False)
    assert judged.judge(99.0, Link.UP, NEVER, broker_lost=True)


def test_any_answer_ends_suspicion_though_the_broker_is_back() -> None:
    judged = Reachability()
    judged.asked(10.0)
    judged.judge(20.0, Link.ABSENT, NEVER, broker_lost=True)
    judged.asked(21.0)
    assert judged.judge(22.0, Link.UP, 21.5, broker_lost=False)
    assert not judged.suspect
    assert not judged.judge(30.0, Link.UP, 21.5, broker_lost=True)


def test_publisher_that_sends_slowly_is_not_suspect() -> None:
    """An answer that was under way arrives first, and the probe waits behind it."""
    judged = Reachability()
    judged.asked(10.0)
    judged.asked(11.0)
    assert not judged.judge(20.0, Link.UP, 19.0, broker_lost=True)


def test_publisher_that_is_announced_anew_is_trusted() -> None:
    judged = Reachability()
    judged.asked(10.0)
    judged.judge(20.0, Link.ABSENT, NEVER, broker_lost=True)
    judged.settle()
    assert not judged.suspect
    assert not judged.judge(20.1, Link.ABSENT, NEVER, broker_lost=True)
