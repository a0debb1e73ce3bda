"""The account database: its mode, and secrets that are not in it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from accountworld import ANN, LIMITS, WORD, World

from caterva2.accounts.accounts import Accounts
from caterva2.accounts.identity import Email
from caterva2.accounts.store import FILE, AccountStore
from caterva2.cli import cat2sub
from caterva2.errors import StartError


def test_the_file_is_the_owners_alone_and_holds_no_secret(world: World) -> None:
    tokens: list[str] = []

    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        tokens.append(await accounts.login(ANN, WORD, "here"))
        files = list(world.path.parent.iterdir())
        assert len(files) == 3
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert not any(
                secret.encode() in file.read_bytes() for secret in (WORD, tokens[0], "secret")
            )

    world.run(work)


def test_a_looser_mode_is_tightened(world: World) -> None:
    AccountStore(world.path).close()
    world.path.chmod(0o644)
    AccountStore(world.path).close()
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600


def test_a_file_of_a_newer_version_is_refused(world: World) -> None:
    AccountStore(world.path).close()
    with contextlib.closing(sqlite3.connect(world.path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StartError, match=r"format 99, .* up to 5: start the newer version"):
        AccountStore(world.path)


def with_users(world: World) -> None:
    """Make a database with some hundred accounts in several pages."""
    with contextlib.closing(AccountStore(world.path)) as store:
        assert store.created
        for number in range(200):
            store.add(Email(f"u{number}@example.com"), "x" * 90, superuser=False, max_users=1000)
    for end in ("-wal", "-shm"):
        assert not world.path.with_name(world.path.name + end).exists()


def test_an_empty_file_is_not_a_fresh_start(world: World) -> None:
    with_users(world)
    world.path.write_bytes(b"")
    with pytest.raises(StartError, match=r"accounts\.sqlite is empty: restore .* from a backup"):
        AccountStore(world.path)
    assert world.path.read_bytes() == b""


def test_a_database_without_tables_is_not_a_fresh_start(world: World) -> None:
    world.path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(world.path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(StartError, match="has no accounts in it: restore"):
        AccountStore(world.path)


def test_a_file_whose_changes_are_left_behind_is_not_a_fresh_start(world: World) -> None:
    with_users(world)
    world.path.rename(world.path.with_name("accounts.sqlite-wal"))
    with pytest.raises(StartError, match=r"is missing, but not accounts\.sqlite-wal: restore"):
        AccountStore(world.path)
    assert not world.path.exists()


@pytest.mark.parametrize("damage", ["half", "zeros", "page"])
def test_a_damaged_file_is_refused_with_what_to_do(world: World, damage: str) -> None:
    with_users(world)
    content = world.path.read_bytes()
    half = len(content) // 2
    changed = {
        "half": content[:half],
        "zeros": bytes(len(content)),
        "page": content[:4096] + bytes(4096) + content[8192:],
    }[damage]
    world.path.write_bytes(changed)
    with pytest.raises(StartError, match=r"accounts\.sqlite .*: restore .* remove /"):
        AccountStore(world.path)
    assert world.path.read_bytes() == changed


def test_only_a_first_start_creates_the_file(world: World) -> None:
    with contextlib.closing(AccountStore(world.path)) as store:
        assert store.created
    with contextlib.closing(AccountStore(world.path)) as store:
        assert not store.created
    assert [path.name for path in world.path.parent.iterdir()] == [world.path.name]


def test_a_file_that_is_not_a_database_is_refused(world: World) -> None:
    world.path.write_bytes(b"no database at all, but longer than a header" * 40)
    with pytest.raises(StartError, match="can't be used"):
        AccountStore(world.path)


def test_the_sessions_of_a_user_are_bounded(world: World) -> None:
    world.limits = dataclasses.replace(LIMITS, user_sessions=3)

    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        await accounts.add("bob@example.com", WORD)
        other = await accounts.login("bob@example.com", WORD, "here")
        tokens = [await accounts.login(ANN, WORD, "here") for _ in range(5)]
        users = [await accounts.user_of(token) for token in tokens]
        assert [user is not None for user in users] == [False, False, True, True, True]
        assert await accounts.user_of(other) is not None

    world.run(work)


def test_expired_sessions_are_removed(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        await accounts.login(ANN, WORD, "here")
        world.now += LIMITS.session
        await accounts.login(ANN, WORD, "here")

    world.run(work)
    with contextlib.closing(sqlite3.connect(world.path)) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


def test_an_account_is_disabled_and_enabled_on_the_command_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def cat2sub_ends(*given: str) -> tuple[int, str]:
        code = cat2sub.main(["--statedir", str(tmp_path), *given])
        said = capfd.readouterr()
        return code, said.out + said.err

    file, ann = tmp_path / FILE, Email(ANN)
    code, said = cat2sub_ends("--disable", ANN)
    assert (code != 0, "there are no accounts" in said, file.exists()) == (True, True, False)
    with contextlib.closing(AccountStore(file)) as store:
        store.add(ann, "hash", superuser=False, max_users=9)
        account = store.find(ann)
        assert account is not None
        assert store.begin_session(b"digest", account, 9e9, 0.0)
        for option, active in (("disable", False), ("enable", True), ("disable", False)):
            assert cat2sub_ends(f"--{option}", ANN.upper()) == (0, f"{option}d {ANN}\n")
            account = store.find(ann)
            assert account is not None
            assert (account.active, store.session(b"digest")) == (active, None)
            assert store.begin_session(b"other", account, 9e9, 0.0) == active
    code, said = cat2sub_ends("--enable", "bob@example.com")
    assert (code != 0, "bob@example.com is not a user" in said) == (True, True)
    assert cat2sub_ends("--enable", "bob")[0] != 0


def test_a_file_that_another_user_made_is_said_to_be_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(StartError, match="permitted: it has to belong to the user of the service"):
        AccountStore(tmp_path / FILE)
