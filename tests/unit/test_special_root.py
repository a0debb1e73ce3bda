"""A special root: errors that name it, and files that other programs change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from specialworld import ANN, BOB, World, until

from caterva2.errors import NotFound, OperandGone, SourceCorrupt
from caterva2.names import PERSONAL, PUBLIC, SHARED, DatasetPath, RootName

X = DatasetPath("d/x.b2nd")


async def damage(world: World, directory: Path) -> None:
    """Replace a dataset by another program, and wait until the catalog has it."""
    root = await world.special.get(PUBLIC, None)
    before = root.entries[X].etag
    fresh = directory / "public" / "d" / ".new"
    fresh.write_bytes(bytes(100))
    fresh.rename(directory / "public" / X)
    await until(root, lambda: root.entries[X].etag != before)


def test_errors_of_a_damaged_file_name_the_root_and_the_dataset(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            await world.upload(ANN, f"{PUBLIC}/{X}", np.arange(3))
            await world.express(ANN, "@public/e.b2nd", "x + 1", x=f"{PUBLIC}/{X}")
            assert await world.read(ANN, "@public/e.b2nd") == [1, 2, 3]
            await damage(world, tmp_path)
            with pytest.raises(SourceCorrupt) as caught:
                await world.view(ANN).dataset(PUBLIC, X)
            assert caught.value.subject == f"{PUBLIC}/{X}"
            with pytest.raises(SourceCorrupt, match=f"e.b2nd can't be computed: {PUBLIC}/{X}: "):
                await world.read(ANN, "@public/e.b2nd")

    asyncio.run(work())


def test_a_file_that_another_program_removes_is_gone(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            await world.upload(ANN, f"{SHARED}/{X}", np.arange(3))
            await world.express(ANN, "@shared/e.b2nd", "x + 1", x=f"{SHARED}/{X}")
            (tmp_path / "shared" / X).unlink()
            root = await world.special.get(SHARED, ANN)
            await until(root, lambda: X not in root.entries)
            with pytest.raises(OperandGone, match=f"{SHARED}/{X} does not exist"):
                await world.read(ANN, "@shared/e.b2nd")

    asyncio.run(work())


def test_each_user_has_a_personal_root_which_is_followed(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            await world.upload(ANN, f"{PERSONAL}/{X}", np.arange(3))
            assert list(await world.view(ANN).entries(PERSONAL)) == [X]
            assert list(await world.view(BOB).entries(PERSONAL)) == []
            (tmp_path / "personal" / ANN.ident / "more.txt").write_bytes(b"text")
            root = await world.special.get(PERSONAL, ANN)
            await until(root, lambda: "more.txt" in root.entries)
            assert world.special.quota.used > 4

    asyncio.run(work())


def test_a_root_that_is_not_special_or_not_available_is_not_found(tmp_path: Path) -> None:
    async def work() -> None:
        async with World.running(tmp_path) as world:
            for name, user in ((RootName("@other"), ANN), (PERSONAL, None)):
                with pytest.raises(NotFound, match=r"does not exist|needs authentication"):
                    await world.special.get(name, user)

    asyncio.run(work())


def test_directories_are_read_again_at_the_next_start(tmp_path: Path) -> None:
    async def work(first: bool) -> None:
        async with World.running(tmp_path) as world:
            if first:
                await world.upload(ANN, f"{PERSONAL}/{X}", np.arange(3))
            assert list(await world.view(ANN).entries(PERSONAL)) == [X]
            assert world.special.quota.used > 0

    asyncio.run(work(True))
    asyncio.run(work(False))
