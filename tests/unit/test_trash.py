"""What was removed from special roots: kept for a while, restored, counted, safe from crashes"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from specialworld import ANN, BOB, World

from caterva2.errors import Conflict, LoginNeeded, NotAllowed, NotFound
from caterva2.limits import DEFAULTS
from caterva2.names import Place
from caterva2.pages.accounts import trash as page
from caterva2.special.quota import SpecialQuota
from caterva2.special.trash import Trash, Trashed

VALUES = np.arange(1000)


def test_what_a_token_removes_is_removed_though_it_is_not_for_the_trash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refused() -> list[Trashed]:
        raise NotAllowed("this token is not for the trash")

    request: Any = None
    monkeypatch.setattr(page, "reader_of", lambda _: SimpleNamespace(trash=refused))
    assert asyncio.run(page.last_removed(request, Place.parse("@shared/x"))) is None


def everything(_: Trashed) -> bool:
    return True


def test_a_removed_file_and_directory_come_back_as_they_were(tmp_path: Path) -> None:
    async def main() -> None:
        async with World.running(tmp_path) as world:
            view = world.view(ANN)
            for path in ("a.b2nd", "dir/b.b2nd", "dir/sub/c.b2nd"):
                await world.upload(ANN, f"@personal/{path}", VALUES)
            root = await world.special.get(Place.parse("@personal/x").root, ANN)
            before = {path: entry.size for path, entry in root.entries.items()}
            await view.remove(Place.parse("@personal/a.b2nd"))
            await view.remove(Place.parse("@personal/dir"))
            assert not root.entries
            items = await view.trash()
            assert [item.below for item in items] == ["dir", "a.b2nd"]
            assert [await view.restore(item.ident) for item in items] == [
                "@personal/dir", "@personal/a.b2nd"
            ]  # fmt: skip
            assert {path: entry.size for path, entry in root.entries.items()} == before
            assert not await view.trash() and not world.special.quota.trashed
            await view.remove(Place.parse("@personal"))
            (item,) = await view.trash()
            assert (
                await view.restore(item.ident) == "@personal"
                and root.entries.keys() == before.keys()
            )

    asyncio.run(main())


def test_a_name_that_is_taken_is_not_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        async with World.running(tmp_path) as world:
            view = world.view(ANN)
            await world.upload(ANN, "@public/a.b2nd", VALUES)
            await view.remove(Place.parse("@public/a.b2nd"))
            await world.upload(ANN, "@public/a.b2nd", VALUES + 1)
            (item,) = await view.trash()
            with pytest.raises(Conflict, match="exists already"):
                await view.restore(item.ident)
            assert [one.ident for one in await view.trash()] == [item.ident]
            assert await view.empty_trash(item.ident) == item.size
            assert not await view.trash()

    asyncio.run(main())


def test_the_trash_of_a_personal_root_is_for_its_user_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with World.running(tmp_path) as world:
            await world.upload(ANN, "@personal/a.b2nd", VALUES)
            await world.upload(ANN, "@shared/s.b2nd", VALUES)
            for path in ("@personal/a.b2nd", "@shared/s.b2nd"):
                await world.view(ANN).remove(Place.parse(path))
            own = {item.below: item.ident for item in await world.view(ANN).trash()}
            assert own.keys() == {"a.b2nd", "s.b2nd"}
            assert [item.below for item in await world.view(BOB).trash()] == ["s.b2nd"]
            for call in (world.view(BOB).restore, world.view(BOB).empty_trash):
                with pytest.raises(NotFound, match="not in the trash"):
                    await call(own["a.b2nd"])
            with pytest.raises(LoginNeeded):
                await world.view(None).trash()
            await world.special.forget(ANN)
            assert [item.below for item in await world.view(BOB).trash()] == ["s.b2nd"]
            assert await world.view(BOB).empty_trash() > 0

    asyncio.run(main())


def test_what_can_not_be_removed_leaves_nothing_in_the_trash(tmp_path: Path) -> None:
    async def main() -> None:
        async with World.running(tmp_path) as world:
            with pytest.raises(NotFound):
                await world.view(ANN).remove(Place.parse("@public/absent.b2nd"))
            assert not await world.view(ANN).trash()
            assert not list((tmp_path / "trash").iterdir())

    asyncio.run(main())


def test_items_survive_a_restart_and_what_a_crash_left_half_made_does_not(tmp_path: Path) -> None:
    quota = SpecialQuota(0)
    trash = Trash(tmp_path, quota, 100)
    item = trash.begin("@public", "", "dir/a.b2nd")
    (trash.content_of(item) / "a.b2nd").write_bytes(b"12345")
    # Killed here: the rename has happened, or not.
    trash.begin("@public", "", "b.b2nd")
    (tmp_path / "junk").mkdir()
    torn = trash.begin("@public", "", "c.b2nd")
    (trash.content_of(torn) / "c.b2nd").write_bytes(b"1")
    (tmp_path / torn.ident / "about.json").write_text("{")
    again = Trash(tmp_path, fresh := SpecialQuota(0), 100)
    assert again.items(everything) == [replace(item, size=5)] and fresh.trashed == 5
    assert [path.name for path in tmp_path.iterdir()] == [item.ident]
    assert json.loads((tmp_path / item.ident / "about.json").read_text())["below"] == "dir/a.b2nd"


def test_items_expire(tmp_path: Path) -> None:
    now = 1000.0
    trash = Trash(tmp_path, SpecialQuota(0), 60, lambda: now)
    item = trash.begin("@public", "", "a")
    (trash.content_of(item) / "a").write_bytes(b"1")
    trash.end(item)
    now = 1059.0
    assert trash.items(everything)
    now = 1060.0
    assert not trash.items(everything) and not list(tmp_path.iterdir())
    assert DEFAULTS.special.trash_days == 30


def test_the_oldest_items_make_room_for_what_the_quota_counts(tmp_path: Path) -> None:
    now = 0.0
    quota = SpecialQuota(100)
    trash = Trash(tmp_path, quota, 1e9, lambda: now)
    for name in "abc":
        now += 1
        item = trash.begin("@public", "", name)
        (trash.content_of(item) / name).write_bytes(bytes(30))
        trash.end(item)
    assert (quota.used, quota.trashed) == (0, 90)
    quota.take(10)
    assert [item.below for item in trash.items(everything)] == ["c", "b", "a"]
    quota.take(25)
    assert [item.below for item in trash.items(everything)] == ["c", "b"]
    assert (quota.used, quota.trashed) == (35, 60)
    quota.take(65)
    assert not trash.items(everything) and quota.trashed == 0


def test_an_item_that_is_being_restored_is_not_removed(tmp_path: Path) -> None:
    quota = SpecialQuota(100)
    trash = Trash(tmp_path, quota, 1e9)
    item = trash.begin("@public", "", "dir")
    for name in "ab":
        (trash.content_of(item) / name).write_bytes(bytes(30))
    trash.end(item)
    (listed,) = trash.items(everything)
    claimed = trash.claim(item.ident)
    with pytest.raises(NotFound, match="not in the trash"):
        trash.claim(item.ident)
    quota.take(70)
    trash.drop(listed)
    assert sorted(path.name for path in trash.content_of(item).iterdir()) == ["a", "b"]
    (trash.content_of(item) / "a").unlink()  # as if it had been moved back
    trash.end(claimed)
    assert trash.items(everything) == [replace(item, size=30)] and quota.trashed == 30
    (trash.content_of(item) / "b").unlink()
    trash.end(trash.claim(item.ident))
    assert not list(tmp_path.iterdir()) and quota.trashed == 0
