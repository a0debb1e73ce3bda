"""Small reads beside large ones: these neither hold the lock, nor all threads, nor the loop."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import blosc2
import numpy as np
import pytest
import samples

from caterva2.arrays.selection import normalise
from caterva2.cache.store import Store
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import READ_PIECE
from caterva2.names import RootName
from caterva2.reading import slices
from caterva2.reading.dataset import ReadPool, is_small
from caterva2.subscriber.remote_dataset import RemoteDataset
from caterva2.web.server import bodies

VALUES = np.random.default_rng(0).integers(0, 99, (512, 600)).cumsum(axis=0).astype("<f8")
GRID: Any = {"chunks": (256, 256), "blocks": (64, 64)}
EVERYWHERE = ((slice(None, None, -3),), (slice(3, None, 30), slice(None, None, 7)))


@pytest.mark.parametrize("key", EVERYWHERE)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_part_of_many_blocks_is_decoded_without_the_lock(
    key: Any, sealed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blosc2 holds it while it cuts a part out of an array, and not while it decodes chunks."""
    frame = samples.array_frame(VALUES, **GRID)
    replica = Store(tmp_path).replica(RootName("foo"), samples.describe(frame, "a.b2nd"))
    raw = samples.raw_chunks(frame)
    samples.fill(replica, raw, range(len(raw)))
    if sealed:
        replica.seal()
        replica.keep()

    def refuse(*_: object) -> None:
        raise AssertionError("cut by Blosc2")

    monkeypatch.setattr(slices, "_between", refuse)
    wanted = normalise(key, VALUES.shape)
    np.testing.assert_array_equal(slices.values(replica, wanted), VALUES[key])
    replica.close()


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize(
    ("shape", "chunks", "key"),
    [
        ((4096, 4096), (4096, 4096), np.s_[:300]),  # few of the chunk's blocks
        ((10_000, 8192), (10_000, 8192), np.s_[::3]),  # a chunk for which there is no memory
    ],
)
def test_a_large_chunk_is_not_decoded_for_a_part_of_it(
    shape: Any, chunks: Any, key: Any, sealed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = bytes(blosc2.zeros(shape, "u1", chunks=chunks, blocks=(100, chunks[1])).to_cframe())
    replica = Store(tmp_path).replica(RootName("foo"), samples.describe(frame, "a.b2nd"))
    samples.fill(replica, samples.raw_chunks(frame), range(1))
    if sealed:
        replica.seal()
        replica.keep()
    cut = Mock(return_value=np.zeros((1, 1), "u1"))
    monkeypatch.setattr(slices, "_between", cut)
    monkeypatch.setattr(slices, "SMALL_STORED", -1)  # zeros take nothing
    slices.values(replica, normalise(key, shape))
    assert cut.called
    replica.close()


def test_a_small_read_waits_for_no_large_one() -> None:
    info = samples.describe(samples.array_frame(VALUES, **GRID), "a.b2nd")
    few, many = (normalise(key, VALUES.shape) for key in (np.s_[60:70, 250:260], np.s_[::2]))
    assert (is_small(few, info), is_small(many, info)) == (True, False)

    async def run() -> None:
        pool, release = ReadPool(1), threading.Event()
        try:
            large = asyncio.ensure_future(pool.run(lambda: release.wait(60)))
            await asyncio.sleep(0)  # now it has the thread
            async with asyncio.timeout(60):
                assert await pool.run(lambda: 7, small=True) == 7
            assert not large.done()
            release.set()
            await large
        finally:
            release.set()
            pool.stop()

    asyncio.run(run())


def test_a_small_read_takes_any_thread_that_is_free() -> None:
    """Of a slow disk two threads read only two places at a time, while others rest."""

    async def run() -> None:
        pool, release = ReadPool(2), threading.Event()

        def begin(*, small: bool) -> asyncio.Future[bool]:
            return asyncio.ensure_future(pool.run(lambda: release.wait(60), small=small))

        try:
            slow = [begin(small=True) for _ in range(3)]
            await asyncio.sleep(0)  # now they have both of their threads, and another one
            async with asyncio.timeout(60):
                assert await pool.run(lambda: 7, small=True) == 7
            slow += [begin(small=False), begin(small=True)]
            async with asyncio.timeout(60):
                while pool.waiting != 1:  # noqa: ASYNC110 - threads tell no event
                    await asyncio.sleep(0.001)
            assert pool._small._work_queue.qsize() == 1  # where none is free, for small ones
            release.set()
            assert all(await asyncio.gather(*slow))
        finally:
            release.set()
            pool.stop()

    asyncio.run(run())


def test_the_blocks_of_a_small_read_are_found_beside_large_ones(tmp_path: Path) -> None:
    frame = samples.array_frame(VALUES, **GRID)
    replica = Store(tmp_path).replica(RootName("foo"), samples.describe(frame, "a.b2nd"))
    limits = replace(DEFAULTS, subscriber=replace(DEFAULTS.subscriber, large_chunk=1))
    remote = Mock(limits=limits, ensure=AsyncMock())

    async def run() -> None:
        pool, release = ReadPool(1), threading.Event()
        try:
            large = asyncio.ensure_future(pool.run(lambda: release.wait(60)))
            await asyncio.sleep(0)  # now it has the thread
            dataset = RemoteDataset(remote, replica.info, replica, pool, Mock())
            async with asyncio.timeout(30):
                few = normalise(np.s_[60:70, 250:254], VALUES.shape)
                await dataset._fetched(replica, np.array([0]), few)
            assert not large.done()
        finally:
            release.set()
            pool.stop()

    asyncio.run(run())
    assert remote.ensure.await_args.args[2] == {0: (3, 7)}


def test_others_have_the_loop_between_the_pieces_of_a_body() -> None:
    """Also if a client takes each piece at once, so that no write ever waits."""

    async def run() -> list[int]:
        turns, ended = 0, False

        async def other() -> None:
            nonlocal turns
            while not ended:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.ensure_future(other())
        seen = [turns async for _ in bodies.in_turns(b"head", bytes(4 * READ_PIECE))]
        ended = True
        await beside
        return seen

    assert asyncio.run(run()) == [0, 0, 1, 2, 3]
