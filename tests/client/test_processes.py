"""Processes share a cache, and one that is killed leaves the old state or the new one."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import caterva2
from caterva2.depot.locks import Locks
from tests.client.arrays import GRID, MANY
from tests.client.line import Line, cached
from tests.conftest import Stack


def _crowd(what: str, lab: Stack, directory: Path, count: int) -> None:
    command = [sys.executable, "-m", "tests.client.crowd", what, lab.url, str(directory)]
    done = subprocess.run(
        [*command, str(count)], capture_output=True, text=True, check=False, timeout=550
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_processes_fill_one_cache_at_once_and_some_are_killed(lab: Stack, tmp_path: Path) -> None:
    _crowd("killed,together", lab, tmp_path / "cache", 3)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("what", "count"), [("together", 16), ("killed", 200)])
def test_many_processes(lab: Stack, tmp_path: Path, what: str, count: int) -> None:
    _crowd(what, lab, tmp_path / "cache", count)


def test_what_one_stores_the_other_has(line: Line, tmp_path: Path) -> None:
    one, other, third = (cached(line, tmp_path)["foo/many.b2nd"] for _ in range(3))
    assert (one[:100] == MANY[:100]).all()
    assert (other[100:200] == MANY[100:200]).all()
    assert (one[200:250] == MANY[200:250]).all()
    assert (other[250:] == MANY[250:]).all()
    line.cut = True
    for dataset in (third, one, other):
        assert np.array_equal(dataset[::7, ::-5], MANY[::7, ::-5])
        assert np.array_equal(dataset[:], MANY)


def test_what_one_evicted_the_other_still_reads_and_fills_anew(line: Line, tmp_path: Path) -> None:
    one, other = (cached(line, tmp_path) for _ in range(2))
    first, second = one["foo/grid.b2nd"], other["foo/grid.b2nd"]
    assert (first[:10] == GRID[:10]).all()
    assert (second[:10] == GRID[:10]).all()
    other.transport.replicas.forget("foo/grid.b2nd")  # type: ignore[attr-defined]
    line.cut = True
    assert (first[:10] == GRID[:10]).all()
    line.cut = False
    assert (first[10:] == GRID[10:]).all()
    line.cut = True
    third = cached(line, tmp_path)
    with pytest.warns(caterva2.OfflineWarning):
        assert (third.fetch("foo/grid.b2nd", slice(10, None)) == GRID[10:]).all()
    line.cut = False
    assert (second[:] == GRID).all()
    line.cut = True
    with pytest.warns(caterva2.OfflineWarning):
        assert (cached(line, tmp_path).fetch("foo/grid.b2nd") == GRID).all()


def test_without_the_lock_the_subscriber_answers(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caterva2.depot.locks.PATIENCE", 0.01)
    dataset = cached(line, tmp_path)["foo/grid.b2nd"]
    [own] = tmp_path.iterdir()
    locks = Locks(own / "locks")
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        names = [f"{n:02x}" for n in range(256)]
        held = [locks.of(name) for name in names]
        assert all(one.__enter__() for one in held)
        holding.set()
        done.wait(60)
        for one in held:
            one.__exit__(None, None, None)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(60)
    try:
        assert (dataset[:20] == GRID[:20]).all()
    finally:
        done.set()
        thread.join()
    assert not [*own.glob("replicas/*/*/*.index")]
    assert (dataset[:20] == GRID[:20]).all()
    assert [*own.glob("replicas/*/*/*.index")]
