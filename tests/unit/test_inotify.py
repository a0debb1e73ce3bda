"""Changes in directories as the system reports them."""

from __future__ import annotations

import ctypes
import errno
import inspect
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caterva2.sources.directory import inotify
from caterva2.sources.watcher import Stop
from tests.conftest import eventually


class Watched:
    """What is reported of a directory, gathered in a thread."""

    def __init__(self, root: Path, *, recursive: bool = True) -> None:
        self._root, self._recursive = root, recursive
        self.stop, self.found = Stop(), set[str]()
        self.rounds = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        eventually(lambda: self.rounds)  # it is watched by now

    def _watch(self) -> None:
        for paths in inotify.watch([str(self._root)], self.stop, recursive=self._recursive):
            self.rounds += 1
            self.found |= {os.path.relpath(path, self._root) for path in paths}

    def waits_for(self, *names: str) -> None:
        """Wait until all of these were reported, and forget them."""
        eventually(lambda: set(names) <= self.found)
        self.found.clear()

    def close(self) -> None:
        self.stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.stop.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "d").mkdir()
    made = Watched(tmp_path)
    yield made
    made.close()


def test_files_are_reported_when_they_change(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "d" / "b").write_text("1")
    watched.waits_for("a", "d/b")
    (tmp_path / "a").rename(tmp_path / "d" / "c")
    watched.waits_for("a", "d/c")
    os.utime(tmp_path / "d" / "b", ns=(1, 1))
    watched.waits_for("d/b")
    (tmp_path / "d" / "c").unlink()
    watched.waits_for("d/c")


def test_directories_that_are_made_later_are_watched(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "e" / "f").mkdir(parents=True)
    watched.waits_for("e")
    (tmp_path / "e" / "f" / "x").write_text("1")
    watched.waits_for("e/f/x")


def test_a_directory_that_moves_is_reported_by_its_new_name(
    watched: Watched, tmp_path: Path
) -> None:
    (tmp_path / "d").rename(tmp_path / "moved")
    watched.waits_for("d", "moved")
    (tmp_path / "moved" / "x").write_text("1")
    watched.waits_for("moved/x")
    (tmp_path / "d").mkdir()
    watched.waits_for("d")
    (tmp_path / "d" / "y").write_text("1")
    watched.waits_for("d/y")


def test_a_directory_that_leaves_is_not_watched_any_more(
    tmp_path_factory: pytest.TempPathFactory, watched: Watched, tmp_path: Path
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "d"
    (tmp_path / "d").rename(elsewhere)
    watched.waits_for("d")
    (elsewhere / "x").write_text("1")
    (tmp_path / "last").write_text("1")
    eventually(lambda: "last" in watched.found)
    assert "d/x" not in watched.found


def test_links_are_not_followed(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (tmp_path / "link").symlink_to(elsewhere)
    watched = Watched(tmp_path)
    (elsewhere / "x").write_text("1")
    (tmp_path / "last").write_text("1")
    eventually(lambda: "last" in watched.found)
    assert "link/x" not in watched.found
    watched.close()


def test_only_named_directories_are_watched_if_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    watched = Watched(tmp_path, recursive=False)
    (tmp_path / "d" / "x").write_text("1")
    (tmp_path / "last").write_text("1")
    eventually(lambda: "last" in watched.found)
    assert "d/x" not in watched.found
    watched.close()


def test_lost_events_may_be_of_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = inotify._EVENT.pack(-1, inotify._OVERFLOW, 0, 0)
    (tmp_path / "d").mkdir()
    with inotify._Watches(recursive=True) as watches:
        watches.add(str(tmp_path))
        (tmp_path / "d").rename(tmp_path / "moved")
        (tmp_path / "new" / "deep").mkdir(parents=True)
        os.read(watches.descriptor, 4096)  # these are among the lost ones
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", lambda fd, size: lost)
            assert watches._read() == {str(tmp_path)}
        (tmp_path / "moved" / "x").touch()
        (tmp_path / "new" / "deep" / "y").touch()
        assert {f"{tmp_path}/moved/x", f"{tmp_path}/new/deep/y"} <= watches.gathered()


def test_a_process_may_have_a_thousand_files_open(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("the system allows fewer")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    opened = [os.dup(2) for _ in range(1030)]
    try:
        with inotify._Watches(recursive=True) as watches:
            watches.add(str(tmp_path))
            (tmp_path / "x").touch()
            assert watches.descriptor > 1023
            assert watches.gathered() == {f"{tmp_path}/x"}
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_deep_tree_is_watched_to_its_end(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 120)
    os.makedirs(tmp_path / deep)
    limit = sys.getrecursionlimit()
    with inotify._Watches(recursive=True) as watches:
        sys.setrecursionlimit(len(inspect.stack(0)) + 100)
        try:
            watches.add(str(tmp_path))
        finally:
            sys.setrecursionlimit(limit)
        (tmp_path / deep / "x").touch()
        assert f"{tmp_path}/{deep}/x" in watches.gathered()


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances")]
)
def test_too_many_watches_are_no_matter_of_the_disk(number: int, words: str) -> None:
    ctypes.set_errno(number)
    error = inotify._error("place")
    assert (error.errno, error.filename) == (number, "place")
    assert words in str(error)


def test_an_end_is_noticed_at_once_and_rest_costs_nothing(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    before, began = time.thread_time(), time.monotonic()
    watched.close()
    assert time.monotonic() - began < inotify.IDLE_S / 2
    assert time.thread_time() - before < 0.1


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_what_is_no_directory_cannot_be_watched(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        (tmp_path / kind).touch()
    with pytest.raises(OSError, match=kind) as caught:
        next(inotify.watch([str(tmp_path / kind)], threading.Event()))
    assert caught.value.errno in (errno.ENOENT, errno.ENOTDIR)
