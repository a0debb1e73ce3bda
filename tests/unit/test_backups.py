"""Backups of state directories: what is in them, and what is never restored."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from caterva2.cli import parsers
from caterva2.cli.commands import upkeep
from caterva2.errors import StartError
from caterva2.runtime.statedir import RESTORING, StateDir
from caterva2.state import backup, manifest, tree
from caterva2.state.errors import BackupFailed
from caterva2.state.kinds import BROKER
from caterva2.state.restore import restore


def content(directory: Path) -> dict[str, bytes]:
    """What is in a directory by its path; an empty directory has a slash at the end."""
    found = {}
    for where, names, files in os.walk(directory):
        for file in files:
            path = Path(where, file)
            found[str(path.relative_to(directory))] = path.read_bytes()
        if not names + files:
            found[f"{Path(where).relative_to(directory)}/"] = b""
    return found


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a broker, with whatever."""
    statedir = tmp_path / "state"
    for path, data in (
        ("roots.log", b"a\nb\ncut of"), ("key", b"secret"), ("lock", b""), ("roots.log.bad", b"x"),
        (".key.x2f", b"half"), ("deep/er/file", bytes(3_000_000) + b"end"), ("deep/\xff\n.", b"1"),
    ):  # fmt: skip
        file = statedir / (path if isinstance(path, str) else os.fsdecode(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (statedir / "empty/below").mkdir(parents=True)
    return statedir


@pytest.fixture
def made(state: Path, tmp_path: Path) -> Path:
    backup.make(BROKER, state, tmp_path / "backup")
    return tmp_path / "backup"


def test_a_restored_state_directory_has_all_but_locks_and_what_is_not_whole(
    state: Path, made: Path, tmp_path: Path
) -> None:
    head, report = restore(made, tmp_path / "again", "cat2bro")
    expected = content(state)
    for name in ("lock", "roots.log.bad", ".key.x2f"):
        del expected[name]
    expected["roots.log"] = b"a\nb\n"
    assert content(tmp_path / "again") == expected
    assert (report.files, head.service) == (4, "cat2bro")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "again").rglob("*")}
    assert modes == {0o600, 0o700}
    before, after = (d / "key" for d in (state, tmp_path / "again"))
    assert before.stat().st_mtime_ns == after.stat().st_mtime_ns
    assert (tmp_path / "again/deep/er/file").stat().st_blocks * 512 < 3_000_000


def test_links_and_special_files_are_left_out(state: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of another")
    (state / "link").symlink_to(tmp_path / "secret")
    (state / "linked").symlink_to(tmp_path)
    os.mkfifo(state / "fifo")
    report = backup.make(BROKER, state, tmp_path / "backup")
    assert report.left_out == {
        "link": "a symbolic link",
        "linked": "a symbolic link",
        "fifo": "neither file nor directory",
    }
    assert not {"state/link", "state/linked", "state/fifo"} & content(tmp_path / "backup").keys()


def test_a_link_that_takes_the_place_of_a_directory_is_not_followed(
    state: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("of another")
    (state / "deep").rename(tmp_path / "elsewhere")
    (state / "deep").symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        tree.open_below(state, "deep/file")


@pytest.mark.parametrize("link", [False, True])
def test_a_backup_replaces_nothing(state: Path, tmp_path: Path, link: bool) -> None:
    target = tmp_path / "backup"
    if link:
        target.symlink_to(tmp_path / "nowhere")
    else:
        (target / "x").mkdir(parents=True)
    with pytest.raises(BackupFailed, match="exists already"):
        backup.make(BROKER, state, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "state"]


def test_a_backup_within_its_state_directory_is_refused(state: Path) -> None:
    with pytest.raises(BackupFailed, match="put backups elsewhere"):
        backup.make(BROKER, state, state / "backup")


def test_what_an_interrupted_backup_left_looks_like_none_and_is_removed(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = tmp_path / ".backup.partial"
    (partial / "state").mkdir(parents=True)
    (partial / "state/old").write_text("of a run that was killed")
    with pytest.raises(BackupFailed, match="no backup"):
        restore(partial, tmp_path / "again", "cat2bro")

    def interrupted(*_: object) -> None:
        assert not (partial / "state/old").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backup.make(BROKER, state, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_what_a_restoration_left_half_done_is_not_backed_up(state: Path, tmp_path: Path) -> None:
    (state / RESTORING).touch()
    with pytest.raises(BackupFailed, match="has a part of a backup only"):
        backup.make(BROKER, state, tmp_path / "backup")


def test_a_place_that_another_process_took_meanwhile_is_left_to_it(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, flock = tmp_path / ".backup.partial", fcntl.flock

    def late(file: int, how: int) -> None:
        shutil.rmtree(partial)  # a process that fails, before another one begins
        partial.mkdir()
        (partial / "theirs").touch()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(BackupFailed, match="another process makes"):
        backup.make(BROKER, state, tmp_path / "backup")
    assert [*content(partial)] == ["theirs"]


def test_nothing_is_written_where_another_user_could_change_it(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".backup.partial/x").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(BackupFailed, match="is of another user"):
        backup.make(BROKER, state, tmp_path / "backup")
    assert (tmp_path / ".backup.partial/x").exists()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def of_another_service(made: Path) -> None:
    rewrite(made, service="cat2pub")


def of_a_newer_format(made: Path) -> None:
    rewrite(made, format=99)


def leads_out(made: Path) -> None:
    rewrite_items(made, lambda item: replace(item, path=f"state/../{item.path}"))


def absolute(made: Path) -> None:
    rewrite_items(made, lambda item: replace(item, path=f"/tmp/{item.path}"))


def ends_early(made: Path) -> None:
    file = made / manifest.FILE
    file.write_bytes(b"".join(file.read_bytes().splitlines(True)[:-1]))


def rewrite(made: Path, **changes: object) -> None:
    file = made / manifest.FILE
    first, _, rest = file.read_bytes().partition(b"\n")
    file.write_bytes(json.dumps(json.loads(first) | changes).encode() + b"\n" + rest)


def rewrite_items(made: Path, change: Callable[[manifest.Item], manifest.Item]) -> None:
    with (made / manifest.FILE).open("rb") as file:
        reading = manifest.Reading(file, made)
        items = [change(item) for item in reading.items()]
    manifest.write(made / manifest.FILE, reading.head, items)


def becomes_a_link(made: Path) -> None:
    (made / "state/key").rename(made / "key")
    (made / "state/key").symlink_to(made / "key")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda made: flip(made / "state/deep/er/file"), "deep/er/file is not as it was backed up"),
        (lambda made: flip(made / manifest.FILE), "manifest is damaged"),
        (lambda made: (made / "state/key").unlink(), "state/key can't be read"),
        (lambda made: (made / manifest.FILE).unlink(), "is no backup"),
        (becomes_a_link, "state/key can't be read"),
        (of_another_service, "is a backup of cat2pub, not of cat2bro"),
        (of_a_newer_format, "has format 99, and this version of caterva2 reads up to 1"),
        (leads_out, "is no path of a backup"),
        (absolute, "is no path of a backup"),
        (ends_early, "manifest is damaged"),
    ],
)
def test_nothing_of_a_damaged_backup_is_restored(
    made: Path, tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    damage(made)
    with pytest.raises(BackupFailed, match=says):
        restore(made, tmp_path / "again", "cat2bro")
    assert not [path for path in tmp_path.iterdir() if "again" in path.name]


def test_a_state_directory_is_replaced_by_force_only_and_kept(made: Path, state: Path) -> None:
    before = content(state)
    with pytest.raises(BackupFailed, match="exists already, and is not empty"):
        restore(made, state, "cat2bro")
    assert content(state) == before
    with StateDir(state), pytest.raises(StartError, match="in use"):
        restore(made, state, "cat2bro", force=True)
    assert content(state) == before
    restore(made, state, "cat2bro", force=True)
    assert (state / "key").read_bytes() == b"secret"
    assert content(state.with_name("state.before")) == before
    with pytest.raises(BackupFailed, match=r"state\.before exists already"):
        restore(made, state, "cat2bro", force=True)


@pytest.mark.parametrize("force", [False, True])
def test_a_state_directory_of_a_service_that_starts_meanwhile_is_left_to_it(
    made: Path, tmp_path: Path, force: bool
) -> None:
    again = tmp_path / "again"
    with contextlib.ExitStack() as service:

        def starts(files: int, _: int) -> None:
            if files == 1:
                service.enter_context(StateDir(again))

        with pytest.raises(StartError, match="in use"):
            restore(made, again, "cat2bro", force, starts)
        assert [*content(again)] == ["lock"]
    assert not again.with_name("again.before").exists()


def test_a_state_directory_with_nothing_but_locks_is_empty(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    StateDir(again).close()
    restore(made, again, "cat2bro")
    assert (again / "key").exists()


def written_meanwhile(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Have another program add to a file whenever it is copied."""
    copy = tree.copy

    def copy_and_write(source: int, target: Path, *others: Any) -> tuple[int, str]:
        done = copy(source, target, *others)
        if target.name == file.name:
            with file.open("ab") as opened:
                opened.write(b"more")
        return done

    monkeypatch.setattr(tree, "copy", copy_and_write)


def test_a_file_that_another_program_writes_all_the_time_is_named(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written_meanwhile(monkeypatch, state / "key")
    options = parsers.cat2bro().parse_args(["--backup", str(tmp_path / "backup")])
    assert upkeep.broker(options, state) == 1
    assert "key was written by another program: it may be torn" in capsys.readouterr().err
    restore(tmp_path / "backup", tmp_path / "again", "cat2bro")


def test_a_log_that_grows_meanwhile_is_whole(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_meanwhile(monkeypatch, state / "roots.log")
    assert backup.make(BROKER, state, tmp_path / "backup").torn == []


def test_a_backup_gives_up_rather_than_to_pause_changes_for_long(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PAUSE", -1.0)
    written_meanwhile(monkeypatch, state / "key")
    with pytest.raises(BackupFailed, match="more changes meanwhile than can be copied"):
        backup.make(BROKER, state, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def changed_in_the_pause(kind: backup.Kind, *files: Path) -> backup.Kind:
    """Have files change when it is for the last time."""

    @contextlib.contextmanager
    def pause() -> Iterator[None]:
        for file in files:
            file.write_bytes(b"changed" + file.read_bytes())
        yield

    return replace(kind, pause=pause)


def test_a_backup_gives_up_within_a_file_that_takes_long(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(backup, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    kind = changed_in_the_pause(BROKER, state / "deep/er/file")
    with pytest.raises(BackupFailed, match="more changes meanwhile than can be copied"):
        backup.make(kind, state, tmp_path / "backup")
