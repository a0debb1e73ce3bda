"""Rate limits, with a clock that the test sets."""

from __future__ import annotations

import pytest

from caterva2.accounts.attempts import Attempts, Pace
from caterva2.errors import SlowDown


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _used_up(clock: Clock) -> Attempts:
    attempts = Attempts(3, clock, max_keys=100)
    for _ in range(3):
        attempts.check("ann")
        attempts.add("ann")
        clock.now += 10
    return attempts


def test_one_attempt_too_many_is_refused_with_the_time_to_wait(clock: Clock) -> None:
    with pytest.raises(SlowDown) as caught:
        _used_up(clock).check("ann")
    assert caught.value.after_ms == 31_000


def test_another_key_is_not_affected(clock: Clock) -> None:
    _used_up(clock).check("bob")


def test_an_attempt_does_not_count_after_a_minute(clock: Clock) -> None:
    attempts = _used_up(clock)
    clock.now += 30
    attempts.check("ann")
    attempts.add("ann")
    with pytest.raises(SlowDown):
        attempts.check("ann")


def test_memory_is_bounded(clock: Clock) -> None:
    attempts = _used_up(clock)
    for n in range(100):
        attempts.add(n)
    attempts.check("ann")
    assert len(attempts._times) == 100


def test_turns_follow_each_other_at_a_distance_and_none_waits_too_long(clock: Clock) -> None:
    pace = Pace(60, 2.5, clock, max_keys=10)
    assert [pace.reserve("ann") for _ in range(3)] == [0, 1, 2]
    assert pace.reserve("bob") == 0
    for _ in range(2):
        with pytest.raises(SlowDown) as caught:
            pace.reserve("ann")
        assert caught.value.after_ms == 1500
    clock.now += 1
    assert pace.reserve("ann") == 2
    clock.now += 100
    assert pace.reserve("ann") == 0
