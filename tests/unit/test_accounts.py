"""Accounts: logging in, sessions that end, and nothing told that nobody needs to know."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from caterva2 import limits
from caterva2.accounts import hashing
from caterva2.accounts.accounts import AccountOptions, Accounts
from caterva2.accounts.identity import Email
from caterva2.accounts.policy import Policy
from caterva2.accounts.store import AccountStore, NoSuchUser, TooManyUsers, UserExists
from caterva2.errors import BadAccount, BadCredentials, Busy, NotAllowed, SlowDown, StartError
from caterva2.model import User

ANN, WORD = "ann@example.com", "correct horse"
Work = Callable[[Accounts], Coroutine[Any, Any, None]]


class World:
    """Accounts in a directory, with a clock that the test sets."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "accounts.sqlite"
        self.now = 1_800_000_000.0
        self.options = AccountOptions(b"secret")
        self.policy = Policy()

    def run(self, work: Work) -> None:
        async def inside() -> None:
            store = AccountStore(self.path)
            accounts = Accounts(store, self.options, self.policy, lambda: self.now)
            with contextlib.closing(accounts):
                await work(accounts)

        asyncio.run(inside())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Hashing is made cheap: how long it takes is nothing that is tested here."""
    cheap = hashing.argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(hashing, "_HASHER", cheap)
    return World(tmp_path)


def test_the_token_of_a_login_is_of_its_user(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        added = await accounts.add(ANN, WORD, superuser=True)
        token = await accounts.login("Ann@Example.com", WORD, "here")
        assert await accounts.user_of(token) == added == User(added.ident, ANN, True)

    world.run(work)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (ANN, "wrong horse"), (ANN, ""), (ANN, "x" * 5000), (ANN, "\ud800"),
        ("bob@example.com", WORD), ("nonsense", WORD), ("", ""),
    ],
)  # fmt: skip
def test_a_wrong_login_tells_nothing_and_hashes_once(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, password: str
) -> None:
    hashed: list[bool] = []
    check = hashing.is_of

    def counted(stored: str, data: bytes) -> bool:
        hashed.append(check(stored, data))
        return hashed[-1]

    monkeypatch.setattr(hashing, "is_of", counted)

    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        with pytest.raises(BadCredentials) as caught:
            await accounts.login(name, password, "here")
        assert str(caught.value) == "LOGIN_BAD_CREDENTIALS"
        assert hashed == [False]

    world.run(work)


def test_a_session_expires(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        token = await accounts.login(ANN, WORD, "here")
        world.now += limits.SESSION - 1
        assert await accounts.user_of(token) is not None
        world.now += 1
        assert await accounts.user_of(token) is None

    world.run(work)


def test_a_session_outlives_a_restart_but_not_another_secret(world: World) -> None:
    tokens: list[str] = []

    async def begin(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        tokens.append(await accounts.login(ANN, WORD, "here"))

    async def goes_on(accounts: Accounts) -> None:
        assert await accounts.user_of(tokens[0]) is not None

    async def is_over(accounts: Accounts) -> None:
        assert await accounts.user_of(tokens[0]) is None

    world.run(begin)
    world.run(goes_on)
    world.options = AccountOptions(b"another")
    world.run(is_over)


@pytest.mark.parametrize("token", ["", "x", "é", "x" * 100_000])
def test_what_is_no_token_is_nobodys(world: World, token: str) -> None:
    async def work(accounts: Accounts) -> None:
        assert await accounts.user_of(token) is None

    world.run(work)


def test_logging_out_ends_one_session(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        first, second = [await accounts.login(ANN, WORD, "here") for _ in range(2)]
        assert await accounts.user_of(first) is not None
        await accounts.logout(first)
        assert await accounts.user_of(first) is None
        assert await accounts.user_of(second) is not None

    world.run(work)


def test_changing_the_password_ends_all_sessions_but_the_new_one(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        user = await accounts.add(ANN, WORD)
        old = await accounts.login(ANN, WORD, "here")
        assert await accounts.user_of(old) == user
        new = await accounts.change_password(user, WORD, "battery staple", "here")
        assert await accounts.user_of(old) is None
        assert await accounts.user_of(new) == user
        with pytest.raises(BadCredentials):
            await accounts.login(ANN, WORD, "here")
        assert await accounts.login(ANN, "battery staple", "here")

    world.run(work)


def test_changing_the_password_takes_the_old_one(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        user = await accounts.add(ANN, WORD)
        with pytest.raises(BadCredentials):
            await accounts.change_password(user, "wrong horse", "battery staple", "here")
        with pytest.raises(BadAccount, match="less than 8"):
            await accounts.change_password(user, WORD, "short", "here")
        assert await accounts.login(ANN, WORD, "here")

    world.run(work)


def test_a_login_does_not_outlive_a_password_that_changed_under_it(world: World) -> None:
    with contextlib.closing(AccountStore(world.path)) as store:
        store.add(Email(ANN), "old", False, 9)
        account = store.find(Email(ANN))
        assert account is not None
        store.change(Email(ANN), "new")
        assert not store.begin_session(b"digest", account, 2.0, 1.0)
        assert store.session(b"digest") is None


def test_deleting_a_user_ends_sessions_and_tells_who_keeps_what_belonged_to_it(
    world: World,
) -> None:
    told: list[User] = []

    async def removed(user: User) -> None:
        told.append(user)

    async def work(accounts: Accounts) -> None:
        accounts.deleted.append(removed)
        user = await accounts.add(ANN, WORD)
        token = await accounts.login(ANN, WORD, "here")
        assert await accounts.user_of(token) == user
        assert await accounts.delete(ANN) == user
        assert await accounts.user_of(token) is None
        assert told == [user]
        with pytest.raises(NoSuchUser):
            await accounts.delete(ANN)

    world.run(work)


def test_who_comes_again_is_somebody_else(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        first = await accounts.add(ANN, WORD)
        await accounts.delete(ANN)
        assert (await accounts.add(ANN, WORD)).ident != first.ident

    world.run(work)


def test_a_change_by_another_process_counts_after_some_seconds(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        token = await accounts.login(ANN, WORD, "here")
        assert await accounts.user_of(token) is not None
        with contextlib.closing(AccountStore(world.path)) as other:
            other.change(Email(ANN), "another hash")
        world.now += limits.KNOWN_FOR
        assert await accounts.user_of(token) is None

    world.run(work)


def test_a_known_session_does_not_ask_the_database(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        user = await accounts.add(ANN, WORD)
        token = await accounts.login(ANN, WORD, "here")
        assert await accounts.user_of(token) == user
        accounts._thread.shutdown()
        assert await accounts.user_of(token) == user

    world.run(work)


# --- how often ---


def test_too_many_failures_are_put_off_even_with_the_right_password(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        for _ in range(limits.LOGINS):
            with pytest.raises(BadCredentials):
                await accounts.login(ANN, "wrong horse", "here")
        with pytest.raises(SlowDown):
            await accounts.login(ANN, WORD, "here")
        assert await accounts.login(ANN, WORD, "elsewhere")

    world.run(work)


def test_unknown_users_are_put_off_just_so(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        for _ in range(limits.LOGINS):
            with pytest.raises(BadCredentials):
                await accounts.login(ANN, WORD, "here")
        with pytest.raises(SlowDown):
            await accounts.login(ANN, WORD, "here")

    world.run(work)


def test_failures_at_once_are_no_way_around(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        tries = [accounts.login(ANN, f"wrong horse {n}", "here") for n in range(20)]
        ends = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(end, BadCredentials) for end in ends) == limits.LOGINS
        assert sum(isinstance(end, SlowDown) for end in ends) == 20 - limits.LOGINS

    world.run(work)


def test_logins_that_succeed_are_not_counted(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        tokens = await asyncio.gather(
            *(accounts.login(ANN, WORD, "here") for _ in range(4 * limits.LOGINS))
        )
        assert len(set(tokens)) == 4 * limits.LOGINS

    world.run(work)


def test_many_addresses_together_are_put_off_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOGINS_ANYWHERE", 8)

    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        for n in range(8):
            with pytest.raises(BadCredentials):
                await accounts.login(ANN, "wrong horse", f"address {n}")
        with pytest.raises(SlowDown):
            await accounts.login(ANN, WORD, "another address")

    world.run(work)


def test_a_bounded_number_waits_to_be_hashed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HASHES_WAITING", 2)
    gate = threading.Event()
    monkeypatch.setattr(hashing, "hashed", lambda _data: str(gate.wait(20)))

    async def work(accounts: Accounts) -> None:
        tries = [asyncio.create_task(accounts.add(f"{n}@b.c", WORD)) for n in range(3)]
        with pytest.raises(Busy):
            await tries[2]
        gate.set()
        await asyncio.gather(*tries[:2])

    world.run(work)


# --- who may have an account ---


def test_of_two_who_race_for_a_name_one_gets_it(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        ends = await asyncio.gather(
            *(accounts.add(ANN, f"{WORD} {n}") for n in range(5)), return_exceptions=True
        )
        assert sorted(type(end).__name__ for end in ends) == ["User"] + 4 * ["UserExists"]

    world.run(work)


def test_two_processes_that_race_for_a_name(world: World) -> None:
    with (
        contextlib.closing(AccountStore(world.path)) as one,
        contextlib.closing(AccountStore(world.path)) as two,
    ):
        one.add(Email(ANN), "hash", False, 9)
        with pytest.raises(UserExists):
            two.add(Email(ANN), "hash", False, 9)


def test_there_are_no_more_users_than_there_may_be(world: World) -> None:
    world.options = AccountOptions(b"secret", maxusers=2)

    async def work(accounts: Accounts) -> None:
        await accounts.add("1@b.c", WORD)
        await accounts.add("2@b.c", WORD)
        with pytest.raises(TooManyUsers, match="Only a maximum of 2 users are allowed"):
            await accounts.add("3@b.c", WORD)
        with pytest.raises(UserExists):
            await accounts.add("2@b.c", WORD)

    world.run(work)


def test_nobody_registers_by_an_address_that_a_root_is_for(world: World) -> None:
    world.policy = Policy(frozenset({Email(ANN)}))

    async def work(accounts: Accounts) -> None:
        with pytest.raises(NotAllowed):
            await accounts.register(ANN, WORD, "here")
        await accounts.add(ANN, WORD)
        await accounts.register("bob@example.com", WORD, "here")

    world.run(work)


def test_registrations_are_put_off(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        for n in range(limits.REGISTRATIONS):
            await accounts.register(f"{n}@b.c", WORD, "here")
        with pytest.raises(SlowDown):
            await accounts.register("more@b.c", WORD, "here")

    world.run(work)


# --- the file ---


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
    world.path.touch(0o644)
    AccountStore(world.path).close()
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600


def test_a_file_of_a_newer_version_is_refused(world: World) -> None:
    AccountStore(world.path).close()
    with contextlib.closing(sqlite3.connect(world.path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StartError, match="newer version"):
        AccountStore(world.path)


def test_a_file_that_is_none_is_refused(world: World) -> None:
    world.path.write_bytes(b"no database at all, but longer than a header" * 40)
    with pytest.raises(StartError, match="can't be used"):
        AccountStore(world.path)


def test_the_sessions_of_a_user_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "USER_SESSIONS", 3)

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
        world.now += limits.SESSION
        await accounts.login(ANN, WORD, "here")

    world.run(work)
    with contextlib.closing(sqlite3.connect(world.path)) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
