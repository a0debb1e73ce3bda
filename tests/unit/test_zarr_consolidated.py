"""Consolidated metadata of Zarr: made once, kept in little memory, sent in pieces"""

from __future__ import annotations

import asyncio
import json

import pytest

from caterva2.errors import RootOffline
from caterva2.formats.zarr_consolidated import Consolidated
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import MIB
from caterva2.web.zarr import documents
from caterva2.web.zarr.consolidating import Consolidating, Key

KEY: Key = ("foo", "g1", "", 3)


def made(count: int, size: int = 9) -> Consolidated:
    found = Consolidated()
    for n in range(count):
        found.add(f"a/{n}", {"n": n, "text": "x" * size})
    return found


@pytest.mark.parametrize(("count", "size", "pieces"), [(0, 0, 0), (1, 10, 1), (20, 300_000, 5)])
def test_it_is_sent_in_pieces_with_its_length(count: int, size: int, pieces: int) -> None:
    found = made(count, size)
    answer = documents._around(b'{"a":{', found, b"}}")

    async def sent() -> list[bytes]:
        return [bytes(piece) async for piece in answer.body_iterator]  # type: ignore[attr-defined]

    parts = asyncio.run(sent())
    assert len(parts) == pieces + 2
    assert max(map(len, parts)) < 2 * MIB
    inside = json.loads(b"".join(parts))["a"]
    assert list(inside) == [f"a/{n}" for n in range(count)]
    assert all(one == {"n": n, "text": "x" * size} for n, one in enumerate(inside.values()))
    assert int(answer.headers["Content-Length"]) == sum(map(len, parts))


def test_it_takes_little_memory() -> None:
    found = made(40_000, 100)
    assert found.size > 5 * MIB
    held = sum(map(len, found._packed)) + len(found._last)
    assert found.nbytes == held < found.size // 3


class Work:
    """Makes metadata when it is allowed to, and counts how often."""

    def __init__(self) -> None:
        self.kept = Consolidating(DEFAULTS)
        self.begun = 0
        self.allowed = asyncio.Event()
        self.failure: Exception | None = None

    async def _make(self) -> Consolidated:
        self.begun += 1
        await self.allowed.wait()
        if self.failure is not None:
            raise self.failure
        return made(3)

    def get(self, key: Key = KEY) -> asyncio.Task[Consolidated]:
        return asyncio.create_task(self.kept.get(key, self._make))


def test_it_is_made_once_although_a_client_goes() -> None:
    async def work() -> None:
        one = Work()
        gone = one.get()
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        waiting = one.get(), one.get()
        one.allowed.set()
        first, second = await asyncio.gather(*waiting)
        assert first is second is await one.get()
        assert one.begun == 1
        assert await one.get(("foo", "g2", "", 3)) is not first
        assert one.begun == 2

    asyncio.run(work())


def test_a_failure_is_not_kept() -> None:
    async def work() -> None:
        one = Work()
        one.allowed.set()
        one.failure = RootOffline("foo is offline")
        with pytest.raises(RootOffline):
            await one.get()
        one.failure = None
        assert (await one.get()).size > 0

    asyncio.run(work())


def test_two_are_made_at_a_time() -> None:
    async def work() -> None:
        one = Work()
        tasks = [one.get(("foo", "g1", str(n), 3)) for n in range(5)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert one.begun == 2
        one.allowed.set()
        await asyncio.gather(*tasks)
        assert one.begun == 5

    asyncio.run(work())
