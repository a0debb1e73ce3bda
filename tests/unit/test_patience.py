"""How long an isolated process may be silent, with a virtual clock."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from caterva2.isolation.channel import Silent
from caterva2.isolation.patience import PATIENCE, Patience, starvation

LIMIT = 10.0


class Process:
    """A process that answers others, and waits for a processor, as a test says."""

    def __init__(self) -> None:
        self.now = self.answered = self.starved = 0.0

    def silent_for(self, seconds: float, starved: float = 0.0) -> None:
        self.now += seconds
        self.starved += starved


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    made = Process()
    made.now = 1000.0
    monkeypatch.setattr("caterva2.isolation.patience.time.monotonic", lambda: made.now)
    return made


@pytest.fixture
def gives_up(process: Process) -> Callable[[], bool]:
    patience = Patience(lambda: process.answered, LIMIT, lambda: process.starved)

    def ask() -> bool:
        try:
            patience(Silent())
        except Silent:
            return True
        return False

    return ask


def test_silent_process_has_one_limit(process: Process, gives_up: Callable[[], bool]) -> None:
    process.silent_for(LIMIT, starved=LIMIT / 10)
    assert gives_up()


def test_starved_process_has_more_time_but_not_any(
    process: Process, gives_up: Callable[[], bool]
) -> None:
    for _ in range(PATIENCE - 1):
        process.silent_for(LIMIT, starved=LIMIT * 0.9)
        assert not gives_up()
    process.silent_for(LIMIT, starved=LIMIT * 0.9)
    assert gives_up()


def test_process_that_hangs_after_it_starved_is_given_up(
    process: Process, gives_up: Callable[[], bool]
) -> None:
    process.silent_for(LIMIT, starved=LIMIT * 0.9)
    assert not gives_up()
    process.silent_for(LIMIT)
    assert gives_up()


def test_process_that_answers_others_has_more_time(
    process: Process, gives_up: Callable[[], bool]
) -> None:
    process.silent_for(LIMIT)
    process.answered = process.now - 1
    assert not gives_up()


def test_system_says_how_long_a_process_waited() -> None:
    before = starvation(os.getpid())
    assert 0 < before <= starvation(os.getpid())
    assert starvation(2**30) == 0
