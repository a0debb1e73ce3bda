"""Plans of stored expressions: kept for one version, and never a way around a user's rights."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from specialworld import ANN, BOB, FOO, Published, World

from caterva2.accounts.identity import Email
from caterva2.accounts.policy import Policy
from caterva2.arrays import selection
from caterva2.compute import plans
from caterva2.errors import OperandGone
from caterva2.limits import DEFAULTS
from caterva2.names import PUBLIC
from caterva2.special.stored import StoredExpression

SUM = "@public/sum.b2nd"


async def prepared(world: World) -> None:
    await world.upload(ANN, "@public/a.b2nd", np.arange(4))
    await world.express(ANN, "@public/twice.b2nd", "a * 2", a="@public/a.b2nd")
    await world.express(ANN, SUM, "a + t", a="@public/a.b2nd", t="@public/twice.b2nd")


def test_a_second_read_neither_parses_nor_plans(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            await prepared(world)
            root = await world.special.get(PUBLIC, None)
            first = await world.open(ANN, SUM)
            stored = await root.dataset(first.info.path)
            assert isinstance(stored, StoredExpression)
            parsed = stored.parsed
            for reader in (ANN, BOB, None):
                again = await world.open(reader, SUM)
                assert (again.plan, again.info) == (first.plan, first.info)
                assert again.plan is first.plan
            assert parsed is not None
            assert stored.parsed is parsed
            assert await root.dataset(first.info.path) is stored
            assert await world.read(BOB, SUM) == [0, 3, 6, 9]

    asyncio.run(work())


@pytest.mark.parametrize("changed", ["a", "twice", "sum"])
def test_a_change_of_an_operand_or_of_an_expression_is_planned_anew(
    tmp_path: Path, changed: str
) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            await prepared(world)
            first = await world.open(ANN, SUM)
            assert await world.read(ANN, SUM) == [0, 3, 6, 9]
            if changed == "a":
                await world.upload(ANN, "@public/a.b2nd", np.arange(10.0, 12.0))
                expected = [30.0, 33.0]
            elif changed == "twice":
                await world.express(ANN, "@public/twice.b2nd", "a * 3", a="@public/a.b2nd")
                expected = [0, 4, 8, 12]
            else:
                both = {"a": "@public/a.b2nd", "t": "@public/twice.b2nd"}
                await world.express(ANN, SUM, "a - t", **both)
                expected = [0, -1, -2, -3]
            again = await world.open(ANN, SUM)
            assert again.plan is not first.plan
            assert again.info.etag != first.info.etag
            assert await world.read(ANN, SUM) == expected

    asyncio.run(work())


def test_a_published_operand_of_another_version_is_planned_anew(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            world.subscriber.datasets["x.b2nd"] = Published(np.arange(3), "one")
            await world.express(ANN, SUM, "x + 1", x="foo/x.b2nd")
            assert await world.read(ANN, SUM) == [1, 2, 3]
            world.subscriber.datasets["x.b2nd"] = Published(np.arange(5), "two")
            assert await world.read(ANN, SUM) == [1, 2, 3, 4, 5]

    asyncio.run(work())


def test_each_user_reads_an_expression_over_that_users_own_root(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            await world.upload(ANN, "@personal/mine.b2nd", np.arange(3))
            await world.express(ANN, SUM, "m + 1", m="@personal/mine.b2nd")
            assert await world.read(ANN, SUM) == [1, 2, 3]
            for reader in (BOB, None):
                with pytest.raises(OperandGone, match="@personal/mine"):
                    await world.read(reader, SUM)
            await world.upload(BOB, "@personal/mine.b2nd", np.array([10.5, 20.5]))
            for _ in range(2):
                assert await world.read(BOB, SUM) == [11.5, 21.5]
                assert await world.read(ANN, SUM) == [1, 2, 3]

    asyncio.run(work())


def test_a_kept_plan_opens_nothing_to_a_user_who_may_not_read_an_operand(tmp_path: Path) -> None:
    policy = Policy("public", {FOO: frozenset({Email(ANN.email)})})

    async def work() -> None:
        async with World.running(tmp_path, policy) as world:
            world.subscriber.datasets["x.b2nd"] = Published(np.arange(3), "one")
            await world.express(ANN, SUM, "x + 1", x="foo/x.b2nd")
            assert await world.read(ANN, SUM) == [1, 2, 3]
            for reader in (BOB, None):
                found = await world.open(reader, SUM)
                with pytest.raises(OperandGone, match="foo not known by the broker"):
                    await found.ready(selection.whole(found.info.shape))
            assert await world.read(ANN, SUM) == [1, 2, 3]

    asyncio.run(work())


def test_a_kept_plan_holds_no_opened_dataset_and_no_metadata(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            operand = world.subscriber.datasets["x.b2nd"] = Published(np.arange(3), "one")
            await world.express(ANN, SUM, "x + 1", x="foo/x.b2nd")
            assert operand.info.vlmeta
            [leaf] = plans.leaves((await world.open(ANN, SUM)).plan)
            assert leaf.info.vlmeta == {}
            dropped = weakref.ref(operand)
            del operand, world.subscriber.datasets["x.b2nd"]
            gc.collect(1)
            assert dropped() is None

    asyncio.run(work())


def test_the_plans_that_are_kept_are_bounded(tmp_path: Path) -> None:
    compute = dataclasses.replace(DEFAULTS.compute, plan_nodes=12)
    limits = dataclasses.replace(DEFAULTS, compute=compute)

    async def work() -> None:
        async with World.running(tmp_path, limits=limits) as world:
            await world.upload(ANN, "@public/a.b2nd", np.arange(4))
            paths = [f"@public/{n}.b2nd" for n in range(5)]
            for n, path in enumerate(paths):
                await world.express(ANN, path, f"a + {n} + a", a="@public/a.b2nd")
            made = [(await world.open(ANN, path)).plan for path in paths]
            assert (await world.open(ANN, paths[-1])).plan is made[-1]
            assert (await world.open(ANN, paths[0])).plan is not made[0]
            assert [await world.read(ANN, path) for path in paths[:2]] == [
                [0, 2, 4, 6], [1, 3, 5, 7],
            ]  # fmt: skip

    asyncio.run(work())
