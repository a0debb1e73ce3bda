"""Limits of logins, registrations and accounts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import threading

import pytest
from accountworld import ANN, LIMITS, WORD, CheapHasher, World

from caterva2.accounts import hashing
from caterva2.accounts.accounts import AccountOptions, Accounts
from caterva2.accounts.identity import Email
from caterva2.accounts.policy import Policy
from caterva2.accounts.store import AccountStore, TooManyUsers, UserExists
from caterva2.errors import BadCredentials, Busy, NotAllowed, SlowDown

# --- how often ---


def test_too_many_failures_are_put_off_even_with_the_right_password(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        for _ in range(LIMITS.logins):
            with pytest.raises(BadCredentials):
                await accounts.login(ANN, "wrong horse", "here")
        with pytest.raises(SlowDown):
            await accounts.login(ANN, WORD, "here")
        assert await accounts.login(ANN, WORD, "elsewhere")

    world.run(work)


def test_unknown_users_are_put_off_just_so(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        for _ in range(LIMITS.logins):
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
        assert sum(isinstance(end, BadCredentials) for end in ends) == LIMITS.logins
        assert sum(isinstance(end, SlowDown) for end in ends) == 20 - LIMITS.logins

    world.run(work)


def test_logins_that_succeed_are_not_counted(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        tokens = await asyncio.gather(
            *(accounts.login(ANN, WORD, "here") for _ in range(4 * LIMITS.logins))
        )
        assert len(set(tokens)) == 4 * LIMITS.logins

    world.run(work)


def test_strangers_at_many_addresses_slow_a_user_down_and_lock_none_out(world: World) -> None:
    world.limits = dataclasses.replace(LIMITS, logins_anywhere=100, login_wait=1.5)

    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        assert await accounts.login(ANN, WORD, "2001:db8:5::1")
        for n in range(100):
            with pytest.raises(BadCredentials):
                await accounts.login(ANN, "wrong horse", f"192.0.2.{n}")
        loop = asyncio.get_running_loop()
        ends = [
            asyncio.create_task(accounts.login(ANN, "wrong horse", f"198.51.100.{n}"))
            for n in range(8)
        ]
        await asyncio.sleep(0)
        assert await accounts.login(ANN, WORD, "2001:db8:5::77")  # of a network that is known
        assert not all(end.done() for end in ends)
        kinds = [type(end) for end in await asyncio.gather(*ends, return_exceptions=True)]
        assert (kinds.count(BadCredentials), kinds.count(SlowDown)) == (3, 5)
        began = loop.time()
        assert await accounts.login(ANN, WORD, "203.0.113.1")  # a new address waits, and is let in
        assert loop.time() - began < 5

    world.run(work)


def test_addresses_of_one_network_are_counted_together(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        await accounts.add(ANN, WORD)
        for n in range(LIMITS.logins):
            with pytest.raises(BadCredentials):
                await accounts.login(ANN, "wrong horse", f"2001:db8::{n}")
        with pytest.raises(SlowDown):
            await accounts.login(ANN, WORD, "2001:db8::ffff")
        assert await accounts.login(ANN, WORD, "2001:db8:1::1")

    world.run(work)


def test_a_hash_takes_the_memory_and_rounds_that_owasp_advises() -> None:
    spec = importlib.util.spec_from_file_location("fresh", hashing.__file__)  # tests hash cheaply
    assert spec and spec.loader
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in fresh.hash_password(WORD.encode())


def test_a_bounded_number_waits_to_be_hashed(world: World) -> None:
    gate = threading.Event()

    class Gated(CheapHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            return str(gate.wait(20))

    world.limits = dataclasses.replace(LIMITS, hashes_waiting=2)
    world.hasher = Gated()

    async def work(accounts: Accounts) -> None:
        tries = [asyncio.create_task(accounts.add(f"{n}@b.c", WORD)) for n in range(3)]
        with pytest.raises(Busy, match="HASHES_WAITING=2"):
            await tries[2]
        gate.set()
        await asyncio.gather(*tries[:2])

    world.run(work)


# --- who may have an account ---


def test_one_of_concurrent_registrations_of_a_name_succeeds(world: World) -> None:
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


def test_an_address_that_the_policy_lists_can_not_be_registered(world: World) -> None:
    world.policy = Policy(frozenset({Email(ANN)}))

    async def work(accounts: Accounts) -> None:
        with pytest.raises(NotAllowed):
            await accounts.register(ANN, WORD, "here")
        await accounts.add(ANN, WORD)
        await accounts.register("bob@example.com", WORD, "here")

    world.run(work)


def test_registrations_are_put_off(world: World) -> None:
    async def work(accounts: Accounts) -> None:
        for n in range(LIMITS.registrations):
            await accounts.register(f"{n}@b.c", WORD, "here")
        with pytest.raises(SlowDown):
            await accounts.register("more@b.c", WORD, "here")

    world.run(work)
