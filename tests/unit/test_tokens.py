"""API tokens: scopes, their end, and that none permits more than what it was made by"""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from accountworld import ANN, LIMITS, WORD, World

from caterva2.accounts.accounts import Accounts
from caterva2.accounts.policy import Policy
from caterva2.accounts.scopes import WHOLE, Scope, TokenUser, scope_of
from caterva2.accounts.token_table import TokenTable
from caterva2.accounts.tokens import digest, is_token
from caterva2.errors import BadAccount, BadRequest, NotAllowed, NotFound
from caterva2.model import User
from caterva2.names import PERSONAL, PUBLIC, RootName
from caterva2.web.middleware import sessions

DAY = 24 * 3600.0
BOB = "bob@example.com"


def test_a_token_is_of_its_user_with_its_scope_and_holds_no_secret_of_the_store(
    world: World,
) -> None:
    async def work(accounts: Accounts) -> None:
        ann = await accounts.add(ANN, WORD)
        scope = Scope.of(["climate-*"], write=True, manage=False)
        token, made = await accounts.tokens.make(ann, "nightly job", scope, days=1)
        assert is_token(token)
        assert token.startswith("c2_")
        found = await accounts.user_of(token)
        assert isinstance(found, TokenUser)
        assert (found.user, found.scope, scope_of(found)) == (ann, scope, scope)
        assert scope_of(ann) is WHOLE
        assert accounts.known_user(token) == found
        assert await accounts.user_of(token[:-1] + "?") is None
        assert token.encode() not in world.path.read_bytes()
        world.now += DAY - 1
        assert await accounts.user_of(token) is not None
        world.now += 1
        assert await accounts.user_of(token) is None
        assert await accounts.tokens.of(ann) == []
        assert made.expires - made.created == DAY

    world.run(work)


def test_tokens_outlive_restarts_secrets_and_passwords_and_end_with_the_account(
    world: World,
) -> None:
    tokens: list[str] = []

    async def make(accounts: Accounts) -> None:
        ann = await accounts.add(ANN, WORD)
        tokens.append((await accounts.tokens.make(ann, "x", Scope()))[0])
        await accounts.change_password(ann, WORD, "battery staple", "here")

    async def end(accounts: Accounts) -> None:
        assert await accounts.user_of(tokens[0]) is not None
        await accounts.delete(ANN)
        assert await accounts.user_of(tokens[0]) is None

    world.run(make)
    world.run(end)


def test_use_is_noted_about_once_a_minute(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        ann = await accounts.add(ANN, WORD)
        token, made = await accounts.tokens.make(ann, "x", Scope())
        assert made.used is None
        first = world.now
        for seconds, used in ((0, first), (30, first), (31, first + 61)):
            world.now += seconds
            await accounts.user_of(token)
            assert [one.used for one in await accounts.tokens.of(ann)] == [used]

    world.run(work)


def test_a_token_is_good_where_its_use_can_not_be_noted(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        ann = await accounts.add(ANN, WORD)
        token, _ = await accounts.tokens.make(ann, "x", Scope())
        with contextlib.closing(sqlite3.connect(world.path)) as db:
            db.execute("PRAGMA query_only = ON")
            found = TokenTable(db, contextlib.nullcontext).user(digest(token), world.now)
        assert found is not None
        assert found[0].user == ann

    world.run(work)


def test_the_token_of_a_header_stands_behind_any_number_of_blanks() -> None:
    for header in (b"Bearer c2_x", b"bearer   c2_x "):
        assert sessions.api_token(header) == "c2_x"
    for other in (b"Basic c2_x", b"Bearer x", b"c2_x", b"Bearer"):
        assert sessions.api_token(other) == ""


def test_revoked_tokens_end_at_once_with_those_made_by_them(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        ann, bob = await accounts.add(ANN, WORD), await accounts.add(BOB, WORD)
        token, made = await accounts.tokens.make(ann, "x", WHOLE, days=2)
        by_token = await accounts.user_of(token)
        assert by_token is not None
        child, its = await accounts.tokens.make(by_token, "y", Scope())
        assert its.expires == made.expires
        assert await accounts.user_of(child) is not None
        for wrong in (made.token + "x", "", "%"):
            with pytest.raises(NotFound):
                await accounts.tokens.revoke(ann, wrong)
        with pytest.raises(NotFound):
            await accounts.tokens.revoke(bob, made.token)
        await accounts.tokens.revoke(ann, made.token)
        assert await accounts.user_of(token) is await accounts.user_of(child) is None

    world.run(work)


def test_superusers_revoke_the_tokens_of_others(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        ann, bob = await accounts.add(ANN, WORD), await accounts.add(BOB, WORD, superuser=True)
        token, made = await accounts.tokens.make(ann, "x", Scope())
        await accounts.tokens.revoke(bob, made.token)
        assert await accounts.user_of(token) is None

    world.run(work)


@pytest.mark.parametrize(
    ("own", "asked", "allowed"),
    [
        (WHOLE, Scope(("foo",), True, True), True),
        (Scope(("*",), False, True), Scope(("foo",)), True),
        (Scope(("*",), False, True), Scope(("foo",), write=True), False),
        (Scope(("*",), True, False), Scope(("foo",)), False),
        (Scope(("foo-*", "@public"), True, True), Scope(("foo-*",)), True),
        (Scope(("foo-*", "@public"), True, True), Scope(("foo-1", "@public")), True),
        (Scope(("foo-*", "@public"), True, True), Scope(("foo-1*",)), False),
        (Scope(("foo-*", "@public"), True, True), Scope(("*",)), False),
        (Scope(("foo-*", "@public"), True, True), Scope(("bar",)), False),
    ],
)
def test_a_token_makes_none_that_permits_more(
    world: World, own: Scope, asked: Scope, allowed: bool
) -> None:
    async def work(accounts: Accounts) -> None:
        ann = await accounts.add(ANN, WORD)
        token, _ = await accounts.tokens.make(ann, "x", own)
        user = await accounts.user_of(token)
        assert user is not None
        if allowed:
            await accounts.tokens.make(user, "y", asked)
        else:
            with pytest.raises(NotAllowed):
                await accounts.tokens.make(user, "y", asked)

    world.run(work)


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "\u202egnp", "\ud800"])
def test_names_that_mislead_are_refused(world: World, name: str) -> None:
    async def work(accounts: Accounts) -> None:
        ann = await accounts.add(ANN, WORD)
        with pytest.raises(BadRequest, match="name"):
            await accounts.tokens.make(ann, name, Scope())

    world.run(work)


@pytest.mark.parametrize("days", [0.0, -1.0, LIMITS.token_days + 1, float("nan"), float("inf")])
def test_ends_that_are_none_are_refused(world: World, days: float) -> None:
    async def work(accounts: Accounts) -> None:
        ann = await accounts.add(ANN, WORD)
        with pytest.raises(BadRequest, match="TOKEN_DAYS"):
            await accounts.tokens.make(ann, "x", Scope(), days)

    world.run(work)


def test_tokens_of_a_user_are_bounded(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        ann, bob = await accounts.add(ANN, WORD), await accounts.add(BOB, WORD)
        for n in range(LIMITS.user_tokens):
            await accounts.tokens.make(ann, f"{n}", Scope(), days=1)
        with pytest.raises(BadAccount, match="revoke one"):
            await accounts.tokens.make(ann, "more", Scope())
        await accounts.tokens.make(bob, "x", Scope())
        world.now += 2 * DAY
        await accounts.tokens.make(ann, "more", Scope())

    world.run(work)


@pytest.mark.parametrize("roots", [[], ["a/b"], ["x" * 65], ["[a]"], ["a b"], ["?"], ["é"], [""]])
def test_roots_that_are_no_patterns_are_refused(roots: list[str]) -> None:
    with pytest.raises(BadRequest, match="roots"):
        Scope.of(roots, write=False, manage=False)
    with pytest.raises(BadRequest, match="64"):
        Scope.of(map(str, range(65)), write=False, manage=False)


def test_a_scope_takes_rights_away_and_adds_none() -> None:
    policy = Policy("users", {RootName("open"): "public", RootName("bobs"): frozenset()})
    user = TokenUser("1", ANN, False, Scope.of(["open", "b*", "@pub*"], write=True, manage=False))
    seen = {"open": True, "bobs": False, "foo": False, PUBLIC: True, PERSONAL: False}
    assert {root: policy.may_read(user, RootName(root)) for root in seen} == seen
    whole = TokenUser("1", ANN, False)
    assert policy.may_read(whole, RootName("foo"))
    assert policy.may_read(whole, PERSONAL)
    assert TokenUser("1", ANN, False) != User("1", ANN, False)


def test_accounts_of_the_version_without_tokens_get_them(world: World) -> None:
    async def add(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)

    world.run(add)
    with sqlite3.connect(world.path) as db:
        db.execute("DROP TABLE tokens")
        db.execute("DROP TABLE deleted")
        db.execute("ALTER TABLE users DROP COLUMN disabled")
        db.execute("ALTER TABLE users DROP COLUMN member_of")
        db.execute("PRAGMA user_version = 1")

    async def work(accounts: Accounts) -> None:
        ann = (await accounts.find(ANN)).user
        token, _ = await accounts.tokens.make(ann, "x", Scope())
        assert await accounts.user_of(token) is not None

    world.run(work)
