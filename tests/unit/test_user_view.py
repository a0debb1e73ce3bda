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
from caterva2.errors import LoginNeeded, NotAllowed, NotFound, QuotaExceeded, SlowDown
from caterva2.limits import DEFAULTS
from caterva2.model import PrefetchStatus
from caterva2.names import PERSONAL, PUBLIC, SHARED, Place, RootName

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


def test_each_root_has_a_quota_of_its_own(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random(1000)  # about 8 kB

    async def work() -> None:
        async with World.running(tmp_path, quotas=(12_000, 20_000)) as world:
            await world.upload(ANN, "@personal/x.b2nd", values)
            await world.upload(ANN, "@personal/x.b2nd", values)  # in place of the first
            with pytest.raises(QuotaExceeded, match="quota of @personal"):
                await world.upload(ANN, "@personal/y.b2nd", values)
            await world.upload(BOB, "@personal/y.b2nd", values)
            for name in ("x", "y"):
                await world.upload(ANN, f"@shared/{name}.b2nd", values)
            view = world.view(BOB)
            with pytest.raises(QuotaExceeded, match="quota of @shared"):
                await view.copy(Place.parse("@personal/y.b2nd"), Place.parse("@shared/z.b2nd"))
            with pytest.raises(QuotaExceeded, match="quota of @personal"):
                await view.move(Place.parse("@shared/x.b2nd"), Place.parse("@personal/x.b2nd"))
            assert sorted(await view.entries(SHARED)) == ["x.b2nd", "y.b2nd"]
            await view.remove(Place.parse("@personal/y.b2nd"))
            await view.move(Place.parse("@shared/x.b2nd"), Place.parse("@personal/x.b2nd"))
            assert sorted(await view.entries(PERSONAL)) == ["x.b2nd"]
            (removed,) = await view.trash()
            with pytest.raises(QuotaExceeded, match="quota of @personal"):
                await view.restore(removed.ident)
            assert await view.trash() == [removed]

    asyncio.run(work())


def test_prefetches_without_a_login_are_few(tmp_path: Path) -> None:
    limits = dataclasses.replace(
        DEFAULTS, subscriber=dataclasses.replace(DEFAULTS.subscriber, anonymous_prefetches=2)
    )

    async def work() -> None:
        async with World.running(tmp_path, limits=limits) as world:
            ends = {f"{n}": "running" for n in range(4)}

            async def start(_: RootName, below: str, part: str) -> PrefetchStatus:
                return status(_, below, part)

            def status(_: RootName, below: str, part: str) -> PrefetchStatus:
                return PrefetchStatus(below, ends[below], 1, 0, 0, (), 1, 0, "", part)  # type: ignore[arg-type]

            world.subscriber.prefetch, world.subscriber.prefetching = start, status
            anonymous = world.view(None)
            for below in ("0", "1", "0"):
                await anonymous.prefetch(FOO, below)
            with pytest.raises(SlowDown, match="ANONYMOUS_PREFETCHES=2"):
                await anonymous.prefetch(FOO, "2")
            await world.view(ANN).prefetch(FOO, "2")
            ends["1"] = "done"
            await anonymous.prefetch(FOO, "3")

    asyncio.run(work())
