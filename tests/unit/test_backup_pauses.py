"""Only directories that changed are listed while a backup has changes pause"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_backups import content

from caterva2.state import backup, tree
from caterva2.state.kinds import BROKER


class Listings:
    """Counts listings of directories below one, and has all that is in it rest."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self._top = top
        self._listdir = os.listdir
        monkeypatch.setattr(tree.os, "listdir", self._list)
        monkeypatch.setattr(tree, "COARSE", -(10**10))
        monkeypatch.setattr(tree, "RESTLESS", -(10**10))

    def _list(self, directory: int | str) -> list[str]:
        if isinstance(directory, int):
            path = os.readlink(f"/proc/self/fd/{directory}")
            self.names.append(os.path.relpath(path, self._top))
        return self._listdir(directory)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    for n in range(5):
        (made / f"d{n}/e").mkdir(parents=True)
        for name in ("f", "e/f", "e/g"):
            (made / f"d{n}" / name).write_text(f"{n}")
    return made


def test_names_that_changed_before_the_pause_are_as_they_are_in_it(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = Listings(state, monkeypatch)

    @contextlib.contextmanager
    def pause() -> Iterator[None]:
        (state / "d0/e/f").unlink()
        (state / "d1/e/new").write_text("new")
        (state / "d1/e/new").replace(state / "d1/e/f")
        shutil.rmtree(state / "d2")
        (state / "d3/more").mkdir()
        shutil.rmtree(state / "d3/e")
        (state / "d3/e").write_text("a file now")
        listings.names.clear()
        yield

    kind = replace(BROKER, pause=pause)
    backup.make(kind, state, tmp_path / "backup")
    assert content(tmp_path / "backup" / "state") == content(state)
    assert sorted(listings.names) == [".", "d0/e", "d1/e", "d3", "d3/more"]


def test_a_file_that_was_written_while_it_was_copied_is_looked_at_in_the_pause(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Listings(state, monkeypatch)
    copy, written = tree.copy, []

    def copy_and_write(*given: object) -> tuple[int, str]:
        done = copy(*given)  # type: ignore[arg-type]
        if str(given[1]).endswith("d4/e/g") and not written:
            written.append(given)
            (state / "d4/e/g").write_text("written meanwhile")
        return done

    monkeypatch.setattr(tree, "copy", copy_and_write)
    monkeypatch.setattr(backup, "ROUNDS", 0)
    backup.make(BROKER, state, tmp_path / "backup")
    assert (tmp_path / "backup/state/d4/e/g").read_text() == "written meanwhile"


def test_files_that_may_be_written_now_are_looked_at_in_the_pause(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def pause() -> Iterator[None]:
        (state / "d4/e/g").write_text("written in place")
        yield

    monkeypatch.setattr(tree, "COARSE", -(10**10))
    backup.make(replace(BROKER, pause=pause), state, tmp_path / "backup")
    assert (tmp_path / "backup/state/d4/e/g").read_text() == "written in place"
