"""A file that is a whole root is looked at when something changes beside it"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from caterva2.sources import watched_file
from caterva2.sources.base import ALL
from caterva2.sources.directory import inotify
from caterva2.sources.watched_file import WatchedFile
from caterva2.sources.watcher import Stop
from tests.conftest import eventually


class Following(WatchedFile):
    """A file that is watched in a thread; what is said is counted, and taken as scanned."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.scanned(self.stamp())
        self.hints = self.looks = 0
        self.stop = Stop()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stamp(self) -> tuple[int, ...]:
        self.looks = getattr(self, "looks", 0) + 1
        return super().stamp()

    def _follow(self) -> None:
        for scopes in self.changes(self.stop):
            assert scopes == {ALL}
            self.hints += 1
            self.scanned(self.stamp())

    def close(self) -> None:
        self.stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.stop.close()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(inotify, "_FIRST_S", 0.01)
    made = tmp_path / "real" / "a.h5"
    made.parent.mkdir()
    made.write_text("1")
    return made


@contextlib.contextmanager
def _followed(path: Path) -> Iterator[Following]:
    made = Following(path)
    try:
        eventually(lambda: made.looks)  # it is watched by now
        yield made
    finally:
        made.close()


def test_a_file_that_rests_is_hardly_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_file, "LOOK", 60.0)
    with _followed(path) as watched:
        before = watched.looks
        assert not watched.stop.wait(0.3)
        assert watched.looks == before
        path.write_text("22")
        eventually(lambda: watched.hints)
        path.with_name("new").write_text("333")
        path.with_name("new").rename(path)
        eventually(lambda: watched.hints > 1)
        path.unlink()
        eventually(lambda: watched.hints > 2)


def test_a_file_is_watched_where_a_link_leads(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_file, "LOOK", 60.0)
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    with _followed(link) as watched:
        path.write_text("22")
        eventually(lambda: watched.hints)


def test_a_change_without_an_event_is_seen_at_the_next_look(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of another host, or through a map of the file."""
    monkeypatch.setattr(watched_file, "LOOK", 0.05)
    monkeypatch.setattr(inotify, "_CHANGES", 0x100)  # only what is created
    with _followed(path) as watched:
        os.utime(path, (1, 1))
        eventually(lambda: watched.hints)


def test_a_file_whose_directory_can_not_be_watched_is_looked_at_often(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watch(*_: object, **__: object) -> Iterator[set[str]]:
        raise OSError(errno.EMFILE, "more watches than allowed")

    monkeypatch.setattr(inotify, "watch", watch)
    with _followed(path) as watched:
        path.write_text("22")
        eventually(lambda: watched.hints)
