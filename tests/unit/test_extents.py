"""Chunks read from a file by the places that another process found."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from test_enclosed import CHUNKS, ENCLOSURE, FRAMES, LENGTH

from caterva2.frames.raw import Run
from caterva2.isolation.extents import runs
from caterva2.sources import versions
from caterva2.sources.located import Extent, Located
from caterva2.sources.versions import FilePlace

SIZES = [len(frame) for frame in FRAMES]
ENDS = list(itertools.accumulate(SIZES))
A, B, C = ((end - size, size) for end, size in zip(ENDS, SIZES, strict=True))
"""Places of the frames."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "x"
    made.write_bytes(b"".join(FRAMES))
    return made


def located(path: Path, extents: list[Extent]) -> Located:
    return Located(versions.stamp(os.stat(path)), extents, ENCLOSURE)


def read(path: Path, *extents: Extent, room: int = 10**6) -> list[Run]:
    return list(runs(FilePlace(path), located(path, list(extents)), range(len(extents)), room))


def test_runs_hold_what_fits_and_no_chunk_twice(path: Path) -> None:
    where = located(path, [A, C, A, B, C])
    found = list(runs(FilePlace(path), where, [7, 3, 7, 1, 2], room=2 * max(SIZES)))
    assert [run.ids for run in found] == [[7, 3], [7, 1], [2]]
    assert [run.payload for run in found] == [
        CHUNKS[0] + CHUNKS[2], CHUNKS[0] + CHUNKS[1], CHUNKS[2]
    ]  # fmt: skip
    assert found[0].sizes == [len(CHUNKS[0]), len(CHUNKS[2])]


def test_places_are_the_same_after_they_were_sent(path: Path) -> None:
    where = located(path, [A, B])
    assert Located.unpack(where.pack()) == where


def test_another_version_gives_nothing_more(path: Path) -> None:
    reading = runs(FilePlace(path), located(path, [A, B]), [0, 1], room=1)
    assert next(reading).payload == CHUNKS[0]
    old = located(path, [A])
    path.write_bytes(b"".join(FRAMES))
    assert list(reading) == list(runs(FilePlace(path), old, [0], room=1)) == []


@pytest.mark.parametrize("place", [(-1, 100), (5, SIZES[0]), (2**70, 100), (0, 2**62), C])
def test_what_is_not_there_gives_nothing(path: Path, place: Extent) -> None:
    with path.open("r+b") as file:
        file.truncate(C[0] + LENGTH)
    assert [run.ids for run in read(path, A, place, B)] in ([[0]], [])
    assert read(path, place) == []


def test_frame_with_another_header_ends_what_is_read(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(B[0] + 30)
        file.write(b"\xff")
    [run] = read(path, A, B, C)
    assert (run.ids, run.payload) == ([0], CHUNKS[0])


def test_file_that_is_gone_gives_nothing(path: Path) -> None:
    where = located(path, [A])
    path.unlink()
    assert list(runs(FilePlace(path), where, [0], room=1)) == []
