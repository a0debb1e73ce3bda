"""Accounts: login, sessions and their end, and what errors do not reveal."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

import pytest
from accountworld import ANN, LIMITS, WORD, CheapHasher, World

from caterva2.accounts.accounts import AccountOptions, Accounts
from caterva2.accounts.identity import Email
from caterva2.accounts.oidc import OidcOptions
from caterva2.accounts.scopes import Scope
from caterva2.accounts.store import AccountStore, NoSuchUser
from caterva2.errors import BadAccount, BadCredentials
from caterva2.model import User

NONE: frozenset[str] = frozenset()


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
def test_a_wrong_login_reveals_nothing_and_hashes_once(
    world: World, name: str, password: str
) -> None:
    verified: list[str | bytes] = []

    class Counted(CheapHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            verified.append(password)
            return super().verify(hash, password)

    world.hasher = Counted()

    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        with pytest.raises(BadCredentials) as caught:
            await accounts.login(name, password, "here")
        assert str(caught.value) == "LOGIN_BAD_CREDENTIALS"
        assert len(verified) == 1

    world.run(work)


def test_a_session_expires(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        token = await accounts.login(ANN, WORD, "here")
        world.now += LIMITS.session - 1
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
def test_an_invalid_token_has_no_user(world: World, token: str) -> None:
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


def test_deleting_a_user_ends_sessions_and_calls_on_delete(
    world: World,
) -> None:
    told: list[User] = []

    async def removed(user: User) -> None:
        told.append(user)

    async def work(accounts: Accounts) -> None:
        accounts.on_delete.append(removed)
        user = await accounts.add(ANN, WORD)
        token = await accounts.login(ANN, WORD, "here")
        assert await accounts.user_of(token) == user
        assert await accounts.delete(ANN) == user
        assert await accounts.user_of(token) is None
        assert told == [user]
        with pytest.raises(NoSuchUser):
            await accounts.delete(ANN)

    world.run(work)


def test_an_account_is_deleted_as_a_whole_though_its_request_ends(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        begun, done = asyncio.Event(), []

        async def slowly(user: User) -> None:
            begun.set()
            await asyncio.sleep(0.001)  # the request is cancelled here
            done.append(user.email)

        accounts.on_delete += [slowly, slowly]
        request = asyncio.create_task(accounts.delete(ANN))
        await begun.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert done == [ANN, ANN]

    world.run(work)


def test_an_address_that_is_added_again_is_another_user(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        first = await accounts.add(ANN, WORD)
        await accounts.delete(ANN)
        assert (await accounts.add(ANN, WORD)).ident != first.ident

    world.run(work)


@pytest.mark.parametrize("passed", [LIMITS.known_for, -86400.0], ids=["", "the clock goes back"])
def test_a_change_by_another_process_counts_after_some_seconds(world: World, passed: float) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        token = await accounts.login(ANN, WORD, "here")
        assert await accounts.user_of(token) is not None
        with contextlib.closing(AccountStore(world.path)) as other:
            other.change(Email(ANN), "another hash")
        world.now += passed
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


def test_users_of_a_provider_get_accounts_only_where_that_is_set(world: World) -> None:
    def provider(create: bool) -> AccountOptions:
        return AccountOptions(b"secret", oidc=OidcOptions("https://x", "cat2", "", create, "x"))

    async def closed(accounts: Accounts) -> None:
        with pytest.raises(BadCredentials, match="no account"):
            await accounts.login_verified("Ann@example.com", "here", NONE)
        with pytest.raises(BadAccount):
            await accounts.login_verified("nonsense", "here", NONE)
        assert await accounts.users() == []

    async def open_(accounts: Accounts) -> None:
        token = await accounts.login_verified("Ann@example.com", "here", NONE)
        user = await accounts.user_of(token)
        assert user is not None
        assert (user.email, user.superuser) == (ANN, False)
        for word in ("", WORD):  # it has no password
            with pytest.raises(BadCredentials):
                await accounts.login(ANN, word, "here")
        assert await accounts.user_of(await accounts.login_verified(ANN, "here", NONE)) == user
        first, second = [accounts.login_verified("bob@example.com", "here", NONE) for _ in range(2)]
        assert len(set(await asyncio.gather(first, second))) == 2
        await accounts.enable(ANN, active=False)
        with pytest.raises(BadCredentials):
            await accounts.login_verified(ANN, "here", NONE)

    world.options = provider(create=False)
    world.run(closed)
    world.options = provider(create=True)
    world.run(open_)


def test_groups_of_a_provider_last_until_the_next_login_there(world: World) -> None:
    changes: list[None] = []

    async def work(accounts: Accounts) -> None:
        accounts.on_change.append(lambda: changes.append(None))
        user = await accounts.add(ANN, WORD)
        before = await accounts.login(ANN, WORD, "here")
        api, _ = await accounts.tokens.make(user, "x", Scope())
        lab, other = frozenset({"lab", "/phys/é"}), frozenset({"other"})
        for groups in (lab, other, NONE):
            token = await accounts.login_verified(ANN, "here", groups)
            for one in (token, before, api, await accounts.login(ANN, WORD, "here")):
                found = await accounts.user_of(one)
                assert found is not None
                assert found.groups == groups
                assert not found.superuser
            assert (await accounts.find(ANN)).user == (await accounts.users())[0].user
        before_last = len(changes)
        await accounts.login_verified(ANN, "here", NONE)
        assert (before_last, len(changes)) == (3, 3)  # what has not changed interrupts nothing

    world.run(work)
