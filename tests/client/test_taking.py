"""Data taken home, into the cache or as files, and brought in step."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.client.errors import OfflineWarning, Unreachable
from caterva2.depot.targets import STATE
from tests.client.arrays import GRID, MANY, write
from tests.client.line import Line, cached
from tests.conftest import Stack, eventually


@pytest.fixture
def home(lab: Stack) -> Any:
    """A directory of the root that a test may change."""
    folder = lab.directory / "source" / "home"
    folder.mkdir()
    write(folder / "a.b2nd", GRID)
    write(folder / "b.b2nd", GRID * 2)
    (folder / "notes.txt").write_text("first")
    eventually(lambda: len(lab.client.get_list("foo/home")) == 3)
    yield folder
    shutil.rmtree(folder)
    eventually(lambda: "home/a.b2nd" not in lab.client.get_list("foo"))


def test_a_directory_in_the_cache_is_read_without_network(
    line: Line, tmp_path: Path, home: Path
) -> None:
    client = cached(line, tmp_path)
    seen: list[tuple[int, int | None]] = []
    report = client.take("foo/home", progress=lambda *done: seen.append(done))
    assert sorted(report.taken) == [
        f"foo/home/{name}" for name in ("a.b2nd", "b.b2nd", "notes.txt")
    ]
    assert report.failed == {}
    assert seen[-1][0] == seen[-1][1]
    line.cut = True
    away = cached(line, tmp_path)
    with pytest.warns(OfflineWarning):
        folder = away["foo/home"]
    assert sorted(folder) == ["a.b2nd", "b.b2nd", "notes.txt"]
    assert (folder["a.b2nd"][:] == GRID).all()
    assert folder["notes.txt"][:] == b"first"
    assert "home/b.b2nd" in list(away["foo"])
    with pytest.raises(Unreachable):
        away.take("foo/home")


def test_only_a_part_is_taken_and_stays_when_others_are_evicted(line: Line, tmp_path: Path) -> None:
    client = cached(line, tmp_path, quota=1)
    client["foo/many.b2nd"].take(slice(0, 10))
    taken = [one.query for one in line.requests if "/chunks/" in one.path]
    assert taken == ["ids=0:15"]
    assert (client["foo/grid.b2nd"][:] == GRID).all()
    assert client["foo/ds-1d.b2nd"][:].size
    line.cut = True
    with pytest.warns(OfflineWarning):
        assert (cached(line, tmp_path).fetch("foo/many.b2nd", slice(0, 10)) == MANY[:10]).all()


@pytest.mark.parametrize("into_files", [False, True])
def test_sync_brings_in_step_what_was_taken(
    lab: Stack, line: Line, tmp_path: Path, home: Path, into_files: bool
) -> None:
    client, to = cached(line, tmp_path / "cache"), tmp_path / "files" if into_files else None
    client.take("foo/home", to=to)
    assert client.sync(to=to).failed == {}
    before = client.get_info("foo/home/b.b2nd")["etag"]
    write(home / "b.b2nd", GRID * 3)
    write(home / "new.b2nd", GRID * 4)
    (home / "a.b2nd").unlink()
    eventually(lambda: lab.client.get_info("foo/home/b.b2nd")["etag"] != before)
    eventually(
        lambda: sorted(lab.client.get_list("foo/home")) == ["b.b2nd", "new.b2nd", "notes.txt"]
    )
    report = client.sync(to=to)
    assert {"foo/home/b.b2nd", "foo/home/new.b2nd"} <= {*report.taken}
    assert (report.removed, report.failed) == (["foo/home/a.b2nd"], {})
    if to is not None:
        assert report.unchanged == ["foo/home/notes.txt"]
        assert (blosc2.open(str(to / "foo/home/b.b2nd"))[:] == GRID * 3).all()
        assert (blosc2.open(str(to / "foo/home/new.b2nd"))[:] == GRID * 4).all()
        assert (to / "foo/home/a.b2nd").exists()
        assert client.sync(to=to, delete=True).removed == ["foo/home/a.b2nd"]
        assert not (to / "foo/home/a.b2nd").exists()
        assert client.sync(to=to).removed == []
        return
    assert client.sync(delete=True).removed == ["foo/home/a.b2nd"]
    line.cut = True
    with pytest.warns(OfflineWarning):
        assert (cached(line, tmp_path / "cache").fetch("foo/home/b.b2nd") == GRID * 3).all()


def test_parts_are_arrays_of_their_own_with_attributes(line: Line, tmp_path: Path) -> None:
    client = caterva2.Client.over(line)
    client.take("foo/grid.b2nd", (slice(3, 9), 5), to=tmp_path)
    client.take("foo/ds-sc-attr.b2nd", ..., to=tmp_path)
    saved = blosc2.open(str(tmp_path / "foo" / "grid[3:9,5].b2nd"))
    assert np.array_equal(saved[:], GRID[3:9, 5])
    single = blosc2.open(str(tmp_path / "foo" / "ds-sc-attr[...].b2nd"))
    assert {name: single.schunk.vlmeta[name] for name in ("a", "b", "c")} == {
        "a": 1, "b": "foo", "c": 123.456,
    }  # fmt: skip
    line.requests.clear()
    assert client.sync(to=tmp_path).unchanged == ["foo/ds-sc-attr.b2nd", "foo/grid.b2nd"]
    assert not [one for one in line.requests if "/fetch/" in one.path]


def test_what_was_removed_stays_and_what_was_revoked_does_not(
    line: Line, tmp_path: Path, home: Path
) -> None:
    client = cached(line, tmp_path)
    client.take("foo/home/a.b2nd")
    line.missing = "/api/info/foo/home/a.b2nd"
    with pytest.raises(caterva2.Missing):
        client["foo/home/a.b2nd"]
    assert [*tmp_path.glob("*/replicas/*/*/*.index")]
    line.missing = "/api/"
    with pytest.raises(caterva2.Missing):
        client["foo/home/a.b2nd"]
    assert not [*tmp_path.glob("*/replicas/*/*/*.index")]


def test_an_interrupted_take_goes_on(line: Line, tmp_path: Path, home: Path) -> None:
    client = cached(line, tmp_path)

    def stop(done: int, _: int | None) -> None:
        raise KeyboardInterrupt if done else AssertionError

    with pytest.raises(KeyboardInterrupt):
        client.take("foo/home", progress=stop)
    line.requests.clear()
    report = client.sync()
    assert len(report.taken) == 3
    assert len([one for one in line.requests if "/chunks/" in one.path]) == 2  # of three


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is damaged"), ('{"format": 9, "url": "", "taken": {}}', "format 9"),
        ('{"format": 1, "url": "http://elsewhere", "taken": {}}', "from http://elsewhere"),
        ('{"format": 1, "url": "", "taken": {"x": {"path": "f", "key": "", '
         '"datasets": {"../../x": ""}}}}', "is damaged"),
    ],
)  # fmt: skip
def test_a_note_that_makes_no_sense_is_refused(
    line: Line, tmp_path: Path, content: str, says: str
) -> None:
    (tmp_path / STATE).write_text(content)
    with pytest.raises(caterva2.BadRequest, match=says):
        caterva2.Client.over(line).sync(to=tmp_path, delete=True)


def test_what_can_not_be_taken_is_named(line: Line, tmp_path: Path) -> None:
    plain = caterva2.Client.over(line)
    with pytest.raises(caterva2.BadRequest, match="has no cache"):
        plain.take("foo/grid.b2nd")
    with pytest.raises(caterva2.BadRequest, match="is a directory"):
        plain.take("foo/dir1", 3, to=tmp_path)
    with pytest.raises(caterva2.BadRequest, match="integers, slices"):
        plain.take("foo/grid.b2nd", [1, 2], to=tmp_path)
    with pytest.raises(caterva2.BadRequest, match="no array"):
        plain.take("foo/README.md", slice(3), to=tmp_path)
    with pytest.raises(caterva2.Missing):
        plain.take("foo/nothing", to=tmp_path)


def test_commands_take_home_and_bring_in_step(lab: Stack, tmp_path: Path, home: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path / "xdg")}
    listed = lab.cli("take", "foo/home", "foo/grid.b2nd[3:5]", "--dry-run", **env)
    assert "foo/grid.b2nd[3:5:]" in listed.stdout or "foo/grid.b2nd[3:5]" in listed.stdout
    assert listed.stdout.splitlines()[-1].endswith("4 datasets")
    assert not (tmp_path / "xdg").exists() or not [*tmp_path.glob("xdg/*/*/replicas/*/*")]
    done = lab.cli("take", "foo/home", "foo/grid.b2nd[3:5]", **env)
    assert (done.returncode, done.stdout) == (0, "4 datasets taken, 0 unchanged\n"), done.stderr
    assert lab.cli("sync", **env).returncode == 0
    assert lab.url in lab.cli("cache", **env).stdout
    assert lab.cli("cache", "clear", **env).returncode == 0
    assert not [*tmp_path.glob("xdg/caterva2/*")]
    done = lab.cli("take", "foo/home", "--to", str(tmp_path / "there"), **env)
    assert (done.returncode, (tmp_path / "there/foo/home/notes.txt").read_text()) == (0, "first")
    assert lab.cli("sync", "--to", str(tmp_path / "there")).stdout.endswith("3 unchanged\n")
    assert lab.cli("take", "foo/nothing", **env).returncode == 1
