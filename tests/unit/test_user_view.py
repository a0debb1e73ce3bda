"""The view of each user: kept between requests, and right when users or their rights change."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from specialworld import ANN, BOB, FOO, World

from caterva2.accounts.identity import Email
from caterva2.accounts.policy import Policy
from caterva2.errors import LoginNeeded, NotAllowed, NotFound
from caterva2.limits import DEFAULTS
from caterva2.names import PERSONAL, PUBLIC, SHARED, Place

ONLY_ANN = Policy("public", {FOO: frozenset({Email(ANN.email)})})


def test_a_view_is_kept_between_the_requests_of_its_user(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            view = world.view(ANN)
            assert world.view(dataclasses.replace(ANN)) is view
            assert world.view(BOB) is not view
            assert world.view(None) is world.view(None) is not view

    asyncio.run(work())


def test_each_user_sees_the_roots_that_the_policy_allows(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path, ONLY_ANN) as world:
            for _ in range(2):
                names = {
                    user and user.ident: {root.name for root in world.view(user).roots()}
                    for user in (ANN, BOB, None)
                }
                special = {PUBLIC, SHARED, PERSONAL}
                assert names == {"1": {FOO} | special, "2": special, None: {PUBLIC}}

    asyncio.run(work())


def test_a_user_whose_address_changes_has_other_rights_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path, ONLY_ANN) as world:
            assert FOO in {root.name for root in world.view(ANN).roots()}
            moved = dataclasses.replace(ANN, email="new@example.com")
            assert FOO not in {root.name for root in world.view(moved).roots()}
            await world.upload(ANN, "@personal/x.b2nd", np.arange(3))
            assert "x.b2nd" in await world.view(moved).entries(PERSONAL)

    asyncio.run(work())


def test_a_deleted_user_has_no_root_of_its_own_any_more(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            await world.upload(ANN, "@personal/x.b2nd", np.arange(3))
            view = world.view(ANN)
            await world.special.forget(ANN)
            await world.views.forget(ANN)
            assert world.view(ANN) is not view
            for kept in (view, world.view(ANN)):
                with pytest.raises(NotFound, match="not available to this user"):
                    await kept.entries(PERSONAL)
            assert world.special.quota.used == 0

    asyncio.run(work())


def test_the_views_that_are_kept_are_bounded(tmp_path: Path) -> None:
    accounts = dataclasses.replace(DEFAULTS.accounts, user_views=2)

    async def work() -> None:
        limits = dataclasses.replace(DEFAULTS, accounts=accounts)
        async with World.running(tmp_path, limits=limits) as world:
            users = [dataclasses.replace(ANN, ident=str(n)) for n in range(5)]
            views = [world.view(user) for user in users]
            assert world.view(users[4]) is views[4]
            assert world.view(users[0]) is not views[0]

    asyncio.run(work())


def test_only_users_write(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            with pytest.raises(LoginNeeded):
                await world.view(None).remove(Place.parse("@public/x"))
            with pytest.raises(NotFound):
                await world.view(ANN).remove(Place.parse("@public/x"))

    asyncio.run(work())


def test_only_writers_write_where_some_are_named(tmp_path: Path) -> None:
    async def work() -> None:
        writers = Policy(writers=frozenset({Email(ANN.email)}))
        async with World.running(tmp_path, writers) as world:
            await world.upload(ANN, "@shared/x.b2nd", np.arange(3))
            with pytest.raises(NotAllowed, match="may not change"):
                await world.upload(BOB, "@personal/x.b2nd", np.arange(3))
            assert "x.b2nd" in await world.view(BOB).entries(SHARED)

    asyncio.run(work())
