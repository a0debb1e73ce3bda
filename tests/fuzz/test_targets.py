"""Readers of bytes of others take seeds and mutants of them without a fault"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.fuzz import engines, mutations
from tests.fuzz.__main__ import fuzz
from tests.fuzz.corpus import seeds
from tests.fuzz.targets import NAMES, target
from tests.fuzz.watching import Slip, Watched

MUTANTS = 40
FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
"""For tests that may run beside others whose threads are left: what is forked here needs none."""


@pytest.mark.no_cover
@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_mutants_are_taken_or_refused(name: str) -> None:
    one = target(name)
    mutants = mutations.mutants(seeds(name), random.Random(name))
    for data in (*seeds(name), *itertools.islice(mutants, MUTANTS)):
        one(data)


@FORKS
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_a_minute_of_inputs_finds_no_fault(name: str, tmp_path: Path) -> None:
    executions, crashes = fuzz(name, 60, time.time_ns() % 2**31, tmp_path)
    texts = [path.read_text() for path in tmp_path.glob("*.txt")]
    assert executions > 100
    assert not crashes, "\n".join(texts)


def test_an_input_that_is_a_fault_is_saved_once_for_its_place(tmp_path: Path) -> None:
    def one(data: bytes) -> None:
        if b"x" in data:
            raise KeyError(data)

    slip = Slip()
    watched = Watched("some", one, slip, tmp_path)
    for data in (b"a", b"x", b"xx", b"b"):
        watched(data)
    assert slip.read() == (4, 1, b"b")
    (saved,) = tmp_path.glob("*.txt")
    assert saved.with_suffix("").read_bytes() == b"x"
    assert "KeyError" in saved.read_text()


@FORKS
def test_a_process_that_dies_is_a_crash_with_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, seconds: float, seed: int, slip: Slip, directory: Path) -> None:
        slip.note(slip.read()[0] + 1, 0, b"deadly" if seed == 0 else b"fine")
        if seed == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(engines, "run", run)
    assert fuzz("some", 60, 0, tmp_path) == (2, 1)
    (saved,) = tmp_path.glob("*.txt")
    assert saved.with_suffix("").read_bytes() == b"deadly"
