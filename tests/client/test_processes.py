"""Processes share a cache, and one that is killed leaves the old state or the new one."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import caterva2
from caterva2.client.errors import Unreachable
from caterva2.client.read import values as reading
from caterva2.client.read.keys import layout
from caterva2.depot.locks import Locks
from tests.client.arrays import GRID, MANY
from tests.client.line import Line, cached
from tests.conftest import Stack, run
from tests.forking import PYTHON


def _crowd(what: str, lab: Stack, directory: Path, count: int) -> None:
    given = what, lab.url, str(directory), str(count)
    done = run(PYTHON, "-m", "tests.client.crowd", *given, timeout=550)
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


@pytest.mark.parametrize("removed", ["*/replicas", "*"])
def test_what_was_removed_meanwhile_is_read_from_the_subscriber(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: str
) -> None:
    monkeypatch.setattr("caterva2.depot.room.TOUCHED", -1.0)
    client = cached(line, tmp_path)
    dataset = client["foo/grid.b2nd"]
    assert (dataset[:10] == GRID[:10]).all()
    for directory in tmp_path.glob(removed):
        shutil.rmtree(directory)
    assert (dataset[:] == GRID).all()
    assert (client["foo/many.b2nd"][:30] == MANY[:30]).all()
    assert len([*tmp_path.glob("*/replicas/*/*/*.index")]) == (2 if "/" in removed else 0)


def test_a_replica_of_another_layout_or_sealed_anew_gives_no_wrong_values(
    line: Line, tmp_path: Path
) -> None:
    dataset = cached(line, tmp_path)["foo/grid.b2nd"]
    assert (dataset[:] == GRID).all()
    assert (dataset[3:9, 2] == GRID[3:9, 2]).all()
    other = replace(dataset._source, dtype=np.dtype("f8"))
    with pytest.raises(Unreachable, match="received"):
        reading.values(dataset._client.transport, other, layout(3, GRID.shape).region)
    [file] = tmp_path.glob("*/replicas/*/*/*.b2nd")
    data, chunk = file.read_bytes(), dataset.get_chunk(7)
    with file.open("r+b") as opened:
        opened.seek(data.index(chunk) + 40)
        opened.write(bytes(8))
    assert (cached(line, tmp_path)["foo/grid.b2nd"][:] == GRID).all()  # fetches it again, and seals
    assert (dataset[3:9, 2] == GRID[3:9, 2]).all()
