"""Chunks read from a file by the places that another process found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caterva2.isolation.extents import runs
from caterva2.sources import versions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "x"
    made.write_bytes(bytes(range(100)))
    return made


def stamp(path: Path) -> tuple[int, ...]:
    return versions.stamp(os.stat(path))


def test_runs_hold_what_fits_and_no_chunk_twice(path: Path) -> None:
    extents = [(0, 10), (50, 10), (0, 10), (90, 10), (20, 40)]
    found = list(runs(path, stamp(path), [7, 3, 7, 1, 2], extents, room=25))
    assert [run.ids for run in found] == [[7, 3], [7, 1], [2]]
    assert [run.sizes for run in found] == [[10, 10], [10, 10], [40]]
    assert found[0].payload == bytes([*range(10), *range(50, 60)])
    assert found[2].payload == bytes(range(20, 60))


def test_another_version_gives_nothing_more(path: Path) -> None:
    reading = runs(path, stamp(path), [0, 1], [(0, 10), (10, 10)], room=1)
    assert next(reading).payload == bytes(range(10))
    path.write_bytes(bytes(100))
    assert list(reading) == []
    assert list(runs(path, stamp(path)[:-1], [0], [(0, 10)], room=1)) == []


def test_what_is_not_there_gives_nothing(path: Path) -> None:
    assert list(runs(path, stamp(path), [0], [(95, 10)], room=1)) == []
    known = stamp(path)
    path.unlink()
    assert list(runs(path, known, [0], [(0, 10)], room=1)) == []
