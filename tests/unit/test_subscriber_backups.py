"""Backups of subscribers: accounts, special roots, and what is moved meanwhile."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from specialworld import ANN, World
from test_backups import changed_in_the_pause, content, written_meanwhile

from caterva2.accounts.identity import Email
from caterva2.accounts.store import AccountStore
from caterva2.names import DatasetPath, Place, RootName
from caterva2.state import backup
from caterva2.state.errors import BackupFailed
from caterva2.state.restore import restore
from caterva2.state.subscriber import kind


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


def test_no_change_waits_for_what_is_cached(tmp_path: Path) -> None:
    statedir, files = tmp_path / "sub", ("cache/aa/x.part", "catalogs/foo", "subscribed.json")
    for path in files:
        (statedir / path).parent.mkdir(parents=True, exist_ok=True)
        (statedir / path).write_text("x")
    changing = changed_in_the_pause(kind(statedir, True), *(statedir / path for path in files))
    backup.make(changing, statedir, tmp_path / "backup")
    copies = content(tmp_path / "backup/state")
    assert [copies[path] for path in files] == [b"x", b"x", b"changedx"]


def test_logs_that_get_lines_all_the_time_are_not_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statedir = tmp_path / "sub"
    statedir.mkdir()
    (statedir / "access.log").write_text("a line\n")
    written_meanwhile(monkeypatch, statedir / "access.log")
    assert backup.make(kind(statedir), statedir, tmp_path / "backup").torn == []


def test_a_directory_that_can_not_be_renamed_is_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statedir, disk = tmp_path / "sub", tmp_path / "disk"
    statedir.mkdir()
    disk.mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == disk)
    with pytest.raises(BackupFailed, match="name a directory in it"):
        backup.make(kind(statedir), statedir, disk)


@pytest.mark.parametrize(
    ("left", "says"),
    [("accounts.sqlite", "it has no accounts in it"), ("accounts.sqlite-wal", "can't be copied")],
)
def test_accounts_that_were_lost_are_no_backup(tmp_path: Path, left: str, says: str) -> None:
    statedir = tmp_path / "sub"
    statedir.mkdir()
    (statedir / left).touch()
    with pytest.raises(BackupFailed, match=says):
        backup.make(kind(statedir), statedir, tmp_path / "backup")


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
    with pytest.raises(BackupFailed, match="put backups elsewhere"):
        backup.make(kind(statedir), statedir, disk / "public/backup")
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
