"""Special roots that were there and are gone: the service does not start with empty ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from caterva2.errors import StartError
from caterva2.reading.dataset import ReadPool
from caterva2.runtime.events import Listeners
from caterva2.special.roots import SpecialRoots


@pytest.fixture
def spaces(tmp_path: Path) -> Path:
    directory = tmp_path / "spaces"
    start(directory)
    return directory


def start(directory: Path) -> None:
    pool = ReadPool(1)
    try:
        roots = SpecialRoots(directory, 0, pool, Listeners())
        roots._close()
    finally:
        pool.stop()


def test_a_first_start_is_noted(spaces: Path) -> None:
    marker = spaces.with_name("spaces.json")
    assert json.loads(marker.read_bytes()) == {
        "format": 1,
        "roots": ["public", "shared", "personal"],
    }
    start(spaces)


@pytest.mark.parametrize("gone", [".", "public", "shared", "personal"])
def test_what_is_missing_is_not_made_anew(spaces: Path, gone: str) -> None:
    shutil.rmtree(spaces / gone)
    with pytest.raises(StartError, match="is missing, which held special roots: mount or restore"):
        start(spaces)
    spaces.with_name("spaces.json").write_bytes(b"")  # damaged, and yet it says so
    with pytest.raises(StartError, match="is missing"):
        start(spaces)
    spaces.with_name("spaces.json").unlink()
    start(spaces)


def test_a_mount_point_where_nothing_is_mounted(spaces: Path) -> None:
    spaces.rename(spaces.with_name("disk"))
    spaces.mkdir()
    with pytest.raises(StartError, match="public is missing"):
        start(spaces)
    assert list(spaces.iterdir()) == []


def test_directories_of_before_are_noted(spaces: Path) -> None:
    spaces.with_name("spaces.json").unlink()
    (spaces / "shared" / "file").write_text("kept")
    start(spaces)
    assert spaces.with_name("spaces.json").exists()
    assert (spaces / "shared" / "file").read_text() == "kept"


def test_a_newer_version_of_them_is_refused(spaces: Path) -> None:
    spaces.with_name("spaces.json").write_text('{"format": 2, "roots": []}')
    with pytest.raises(StartError, match=r"spaces\.json has format 2"):
        start(spaces)


def test_a_damaged_note_is_written_again(spaces: Path) -> None:
    spaces.with_name("spaces.json").write_text("{")
    start(spaces)
    assert spaces.with_name("spaces.json.bad").read_text() == "{"
    start(spaces)


def test_staged_uploads_may_be_missing(spaces: Path) -> None:
    shutil.rmtree(spaces / "incoming")
    start(spaces)
