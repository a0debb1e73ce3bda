"""Backups of state directories: what is in them, and what is never restored."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from specialworld import ANN, World

from caterva2.accounts.identity import Email
from caterva2.accounts.store import AccountStore
from caterva2.errors import StartError
from caterva2.names import DatasetPath, Place, RootName
from caterva2.runtime.statedir import StateDir
from caterva2.state import backup, manifest, tree
from caterva2.state.errors import BackupFailed
from caterva2.state.kinds import BROKER
from caterva2.state.restore import restore
from caterva2.state.subscriber import kind


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


@pytest.mark.parametrize("there", ["a file", "a directory", "a link"])
def test_a_backup_replaces_nothing(state: Path, tmp_path: Path, there: str) -> None:
    target = tmp_path / "backup"
    if there == "a directory":
        (target / "x").mkdir(parents=True)
    elif there == "a link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.write_text("x")
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


def test_a_state_directory_with_nothing_but_locks_is_empty(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    StateDir(again).close()
    restore(made, again, "cat2bro")
    assert (again / "key").exists()


# --- subscribers ---


def test_accounts_are_copied_while_they_are_open(tmp_path: Path) -> None:
    statedir = tmp_path / "sub"
    with closing(AccountStore(statedir / "accounts.sqlite")) as store:
        store.add(Email("ann@example.com"), "hash", False, 9)  # in the -wal file
        backup.make(kind(statedir), statedir, tmp_path / "backup")
        store.add(Email("bob@example.com"), "hash", False, 9)
    assert [*content(tmp_path / "backup/state")] == ["accounts.sqlite"]
    restore(tmp_path / "backup", tmp_path / "again", "cat2sub")
    with closing(AccountStore(tmp_path / "again/accounts.sqlite")) as store:
        assert [account.user.email for account in store.users()] == ["ann@example.com"]


def test_what_was_cached_is_in_a_backup_if_it_is_wanted(tmp_path: Path) -> None:
    statedir = tmp_path / "sub"
    for path in ("cache/aa/x.index", "catalogs/foo", "spaces/incoming/half", "subscribed.json"):
        (statedir / path).parent.mkdir(parents=True, exist_ok=True)
        (statedir / path).write_text("x")
    backup.make(kind(statedir), statedir, tmp_path / "without")
    assert [*content(tmp_path / "without/state")] == ["subscribed.json"]
    backup.make(kind(statedir, cache=True), statedir, tmp_path / "with")
    assert len(content(tmp_path / "with/state")) == 3


def test_special_roots_that_are_not_mounted_are_no_backup(tmp_path: Path) -> None:
    statedir = tmp_path / "sub"
    (statedir / "spaces").mkdir(parents=True)
    (statedir / "spaces.json").write_text('{"format": 1, "roots": []}')
    with pytest.raises(BackupFailed, match="public is missing, which held special roots"):
        kind(statedir)


def test_special_roots_on_another_disk_are_backed_up(tmp_path: Path) -> None:
    statedir, disk = tmp_path / "sub", tmp_path / "disk"
    statedir.mkdir()
    (disk / "public").mkdir(parents=True)
    (disk / "public/x").write_text("of a user")
    (statedir / "spaces").symlink_to(disk)
    backup.make(kind(statedir), statedir, tmp_path / "backup")
    assert (tmp_path / "backup/state/spaces/public/x").read_text() == "of a user"


NAMES = [f"d/{n}.b2nd" for n in range(12)]


def test_what_is_moved_meanwhile_is_in_a_backup_once(tmp_path: Path) -> None:
    """Moves between what is walked first and last would hide files, and half of a directory."""
    statedir = tmp_path / "sub"

    async def main() -> list[list[str]]:
        async with World.running(statedir / "spaces") as world:
            for name in NAMES:
                await world.upload(ANN, f"@public/{name}", np.arange(3))
            moving = asyncio.create_task(move(world))
            for n in range(4):
                target = tmp_path / f"backup{n}"
                await asyncio.to_thread(backup.make, kind(statedir), statedir, target)
            moving.cancel()
        return [
            sorted(
                path.split("/", 3)[3]
                for path in content(tmp_path / f"backup{n}")
                if path.endswith(".b2nd")
            )
            for n in range(4)
        ]

    assert asyncio.run(main()) == [sorted(NAMES)] * 4


async def move(world: World) -> None:
    """Move a directory there and back, for ever."""
    view = world.view(ANN)
    places = [Place(RootName(name), DatasetPath("d"), False) for name in ("@public", "@shared")]
    while True:
        await view.move(*places)
        places.reverse()
