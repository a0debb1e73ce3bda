"""Data taken home, into the cache or as files, and brought in step."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest

import caterva2
from caterva2.client.errors import Missing, OfflineWarning, Unreachable
from caterva2.client.read import part
from caterva2.depot import taking
from caterva2.depot.targets import STATE, FilesTarget
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


def test_what_was_taken_is_shown_without_network_until_a_later_version_is_all_there(
    lab: Stack, line: Line, tmp_path: Path, home: Path
) -> None:
    path, client = "foo/home/a.b2nd", cached(line, tmp_path)
    client.take(path)
    version = client.get_info(path)["etag"]
    write(home / "a.b2nd", GRID + 5)
    eventually(lambda: client.get_info(path)["etag"] != version)
    assert (client[path][:3] == GRID[:3] + 5).all()  # a part of it only
    line.cut = True
    away = cached(line, tmp_path)
    with pytest.warns(OfflineWarning):
        dataset = away[path]
        assert (dataset[:] == GRID).all()
    before, line.cut = dataset.as_of, False
    assert before is not None
    assert before < client[path].as_of
    taking.reachable(away)  # which says nothing of the version that was opened
    assert dataset.as_of == before
    assert (client[path][:] == GRID + 5).all()
    line.cut = True
    with pytest.warns(OfflineWarning):
        assert (cached(line, tmp_path).fetch(path) == GRID + 5).all()


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
    own = {"CATERVA2_CACHE": str(tmp_path / "other")}
    done = lab.cli("take", "foo/grid.b2nd", "--cache", str(tmp_path / "named"), **own)
    assert (done.returncode, len([*tmp_path.glob("named/*/replicas/*/*/*.index")])) == (0, 1)
    assert lab.cli("sync", "--to", str(tmp_path / "there")).stdout.endswith("3 unchanged\n")
    assert lab.cli("take", "foo/nothing", **env).returncode == 1


def test_nothing_is_taken_into_a_cache_on_a_full_disk(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = cached(line, tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr("caterva2.cache.datafile.durable.pwrite", refuse)
    with pytest.raises(OSError, match=r"12 chunks of foo/grid[.]b2nd are not on the disk"):
        client.take("foo/grid.b2nd")


def test_a_part_that_changed_while_it_was_taken_is_taken_again(
    lab: Stack, line: Line, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, real = caterva2.Client.over(line), part._write
    before = client.get_info("foo/home/a.b2nd")["etag"]
    names = set()

    def changed(*given: Any) -> None:
        real(*given)
        names.add(given[-1].name)
        if len(names) == 1:
            write(home / "a.b2nd", GRID * 5)
            eventually(lambda: lab.client.get_info("foo/home/a.b2nd")["etag"] != before)

    monkeypatch.setattr(part, "_write", changed)
    client.take("foo/home/a.b2nd", slice(0, 3), to=tmp_path)
    assert client.sync(to=tmp_path).taken == ["foo/home/a.b2nd"]
    assert (blosc2.open(str(tmp_path / "foo/home/a[0:3].b2nd"))[:] == GRID[:3] * 5).all()
    assert len(names) == 2  # of files that are being written: others may save there, too


def test_one_that_fails_does_not_keep_others_from_being_brought_in_step(
    line: Line, lab: Stack, tmp_path: Path, home: Path
) -> None:
    client = caterva2.Client.over(line)
    client.take("foo/home/a.b2nd", 39, to=tmp_path)
    client.take("foo/home/notes.txt", to=tmp_path)
    (home / "notes.txt").write_text("second")
    write(home / "a.b2nd", GRID[:20])
    eventually(lambda: lab.client.get_info("foo/home/a.b2nd")["shape"] == [20, 60])
    eventually(lambda: lab.client.get_info("foo/home/notes.txt")["nbytes"] == 6)
    report = client.sync(to=tmp_path)
    assert (report.taken, [*report.failed]) == (["foo/home/notes.txt"], ["foo/home/a.b2nd[39]"])
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "foo").write_text("mine")
    report = client.take("foo/dir1", to=tmp_path / "there")
    assert len(report.failed) == 2
    assert "can't be a file here" in report.failed["foo/dir1/ds-2d.b2nd"]


def test_only_what_was_taken_is_deleted_and_only_if_the_subscriber_says_so(
    line: Line, tmp_path: Path, home: Path
) -> None:
    client, there = caterva2.Client.over(line), tmp_path / "foo" / "home"
    client.take("foo/home", to=tmp_path)
    state = json.loads((tmp_path / STATE).read_text())
    state["taken"]["foo/home"]["datasets"]["foo/home/mine"] = ""  # it failed
    (tmp_path / STATE).write_text(json.dumps(state))
    (there / "mine").write_text("not theirs")
    line.missing, line.refusal = "/api/", Missing(404, "Not Found", "a portal", "http")
    with pytest.raises(Missing):
        client.sync(to=tmp_path, delete=True)
    line.missing = "/api/info"
    assert [*client.sync(to=tmp_path, delete=True).failed] == ["foo/home"]
    assert len([*there.iterdir()]) == 4
    line.refusal = Missing(404, "Not Found", "gone", "not-found")
    report = client.sync(to=tmp_path, delete=True)
    assert "delete='all'" in report.failed["foo/home"]
    assert len([*there.iterdir()]) == 4
    assert len(client.sync(to=tmp_path, delete="all").removed) == 4
    assert [one.name for one in there.iterdir()] == ["mine"]


@pytest.mark.parametrize("known", [{}, {"foo/home/old": "v"}], ids=["empty", "replaced"])
def test_a_directory_that_has_other_files_now_is_brought_in_step(
    line: Line, tmp_path: Path, home: Path, known: dict[str, str]
) -> None:
    client = caterva2.Client.over(line)
    state = {"foo/home": {"path": "foo/home", "key": "", "datasets": known}}
    url = line.urlbase.rstrip("/")
    (tmp_path / STATE).write_text(json.dumps({"format": 1, "url": url, "taken": state}))
    report = client.sync(to=tmp_path, delete=True)
    assert (len(report.taken), report.removed, report.failed) == (3, [*known], {})


def test_versions_are_noted_while_others_are_still_to_be_taken(
    line: Line, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_NOTED", -1.0)
    noted: list[int] = []

    def look(*_: object) -> None:
        found = json.loads((tmp_path / STATE).read_text())["taken"]["foo/home"]["datasets"]
        noted.append(sum(map(bool, found.values())))

    caterva2.Client.over(line).take("foo/home", to=tmp_path, progress=look)
    assert {*noted} == {0, 1, 2}


def test_names_that_are_no_files_or_the_same_one_are_refused(line: Line, tmp_path: Path) -> None:
    for name in ("foo/../../x", "foo//x", "foo/a\0b", "/etc/x", "..", "foo/\udc80"):
        assert taking._item(name, "", {"nbytes": 1}).error
    target = FilesTarget(caterva2.Client.over(line), tmp_path)
    (tmp_path / "a").write_text("")
    (tmp_path / "A").write_text("")
    assert target._alone(tmp_path / "a") != target._alone(tmp_path / "A")
    (tmp_path / "A").unlink()
    os.link(tmp_path / "a", tmp_path / "A")  # as if case did not count
    with pytest.raises(caterva2.BadName, match="one file here"):
        target._alone(tmp_path / "A")
