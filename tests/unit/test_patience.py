"""How long an isolated process may be silent, with a virtual clock."""

from __future__ import annotations

import os

import pytest

from caterva2.isolation.channel import Silent
from caterva2.isolation.patience import PATIENCE, SILENCES, Patience, starvation

LIMIT = 10.0


class Process:
    """A process that answers others, and waits for a processor, as a test says."""

    def __init__(self) -> None:
        self.now, self.answered, self.starved = 1000.0, 0.0, 0.0
        self.patience = Patience(lambda: self.answered, LIMIT, lambda: self.starved)

    def gives_up_after(self, silences: int, starved: float) -> bool:
        """Whether it is given up after more silences, of which it was starved for a share."""
        for _ in range(silences):
            self.now += LIMIT / SILENCES
            self.starved += starved * LIMIT / SILENCES
            try:
                self.patience(Silent())
            except Silent:
                return True
        return False


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    made = Process()
    monkeypatch.setattr("caterva2.isolation.patience.time.monotonic", lambda: made.now)
    return made


def test_silent_process_has_one_limit(process: Process) -> None:
    assert not process.gives_up_after(SILENCES - 1, starved=0.1)
    assert process.gives_up_after(1, starved=0.1)


def test_starved_process_has_more_time_but_not_any(process: Process) -> None:
    assert not process.gives_up_after(PATIENCE * SILENCES - 1, starved=0.9)
    assert process.gives_up_after(1, starved=0.9)


def test_process_that_hangs_after_it_starved_is_given_up(process: Process) -> None:
    assert not process.gives_up_after(SILENCES, starved=0.9)
    assert process.gives_up_after(1, starved=0.0)


def test_process_that_answers_others_has_more_time(process: Process) -> None:
    process.answered = process.now + LIMIT / SILENCES
    assert not process.gives_up_after(SILENCES, starved=0.0)
    assert process.gives_up_after(SILENCES, starved=0.0)


def test_sign_of_life_begins_the_limit_anew(process: Process) -> None:
    assert not process.gives_up_after(SILENCES - 1, starved=0.0)
    process.patience.begin()
    assert not process.gives_up_after(SILENCES - 1, starved=0.0)


def test_system_says_how_long_a_process_waited() -> None:
    before = starvation(os.getpid())
    assert 0 < before <= starvation(os.getpid())
    assert starvation(2**30) == 0
