"""Which blocks a selection touches, against marking every item; and when to fetch just these."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock, Mock

import blosc2
import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays import points as indices
from caterva2.arrays.selection import normalise
from caterva2.cache.touched_blocks import FEW_POINTS, MANY_CHUNKS, touched
from caterva2.limits import DEFAULTS, constants
from caterva2.limits.constants import KIB, MIB
from caterva2.model import DatasetInfo
from caterva2.subscriber.fetch.costs import blocks_pay
from caterva2.subscriber.fetch.fetcher import ReplicaFetches
from tests.thoroughness import examples

DELTA = blosc2.Filter.DELTA.value


def _info(
    shape: tuple[int, ...], chunks: tuple[int, ...], blocks: tuple[int, ...], **changed: Any
) -> DatasetInfo:
    array = blosc2.uninit(shape, "u1", chunks=chunks, blocks=blocks, contiguous=True)
    return samples.describe(array.to_cframe()).model_copy(update=changed)


def _by_marking(info: DatasetInfo, key: Any) -> dict[int, tuple[int, ...]]:
    """Number each item's chunk and block, and see which are selected."""
    places = np.indices(info.shape)
    chunk, block = np.zeros(info.shape, int), np.zeros(info.shape, int)
    for at, size, wide, narrow in zip(places, info.shape, info.chunks, info.blocks, strict=True):
        chunk = chunk * -(-size // wide) + at // wide
        block = block * -(-wide // narrow) + at % wide // narrow
    pairs = set(zip(np.ravel(chunk[key]).tolist(), np.ravel(block[key]).tolist(), strict=True))
    return {n: tuple(sorted(b for c, b in pairs if c == n)) for n in sorted({c for c, _ in pairs})}


@settings(max_examples=examples(200))
@given(st.data())
def test_the_touched_blocks_are_those_of_the_selected_items(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3)))
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    blocks = tuple(data.draw(st.integers(1, n)) for n in chunks)
    step = st.none() | st.integers(-4, 4).filter(bool)
    key = tuple(
        data.draw(
            st.integers(0, n - 1)
            | st.builds(slice, st.none() | st.integers(-n, n), st.none() | st.integers(-n, n), step)
        )
        for n in shape
    )
    info = _info(shape, chunks, blocks)
    wanted = normalise(key, shape)
    found = touched(wanted, info)
    if wanted.size == 0:
        assert found is None
    elif found is not None:
        assert found == _by_marking(info, key)
        assert list(found) == sorted(found)
    else:
        expected = _by_marking(info, key)
        assert (
            len(expected) > MANY_CHUNKS
            or max(map(len, expected.values())) > constants.REQUEST_BLOCKS
        )


def test_points_touch_the_blocks_that_they_lie_in() -> None:
    info = _info((20, 30), (10, 10), (4, 5))
    rows, columns = [1, 19, 1, 0], [0, 29, 9, 4]
    wanted = indices.parse([rows, columns], (20, 30))
    assert touched(wanted, info) == _by_marking(info, (rows, columns))
    with_range = indices.parse([rows, "3:8"], (20, 30))
    assert touched(with_range, info) == _by_marking(info, (rows, slice(3, 8)))


@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        slice(0, DEFAULTS.subscriber.plain_items + 1),
        slice(0, 2 * constants.REQUEST_BLOCKS),
    ],
)
def test_what_is_not_small_is_not_looked_for(key: Any) -> None:
    info = _info((10**6,), (10**5,), (1,))
    assert touched(normalise(key, info.shape), info) is None


def test_many_points_are_not_looked_for() -> None:
    info = _info((10**6,), (10**5,), (100,))
    points = indices.parse([[0] * (FEW_POINTS + 1)], info.shape)
    assert touched(points, info) is None


def _chunks_of(stored: int, **changed: Any) -> DatasetInfo:
    """Four chunks of 64 blocks."""
    info = _info((256, 64), (64, 64), (1, 64))
    assert info.chunksize // info.blocksize == 64
    return info.model_copy(update={"cbytes": 4 * stored} | changed)


PLAIN = _chunks_of(16 * MIB)


@pytest.mark.parametrize(
    ("info", "new", "held", "fetches", "expected"),
    [
        (PLAIN, 1, 0, 0, True),
        (PLAIN, 16, 0, 0, True),
        (PLAIN, 17, 0, 0, False),  # more than a quarter
        (PLAIN, 1, 19, 1, True),
        (PLAIN, 1, 20, 1, False),  # more than a third in all
        (PLAIN, 1, 0, 20, True),
        (PLAIN, 1, 0, 21, False),  # the round trips cost as much
        (_chunks_of(128 * KIB), 1, 0, 0, True),
        (_chunks_of(128 * KIB), 1, 1, 1, False),
        (_chunks_of(128 * KIB - 1), 1, 0, 0, False),  # small
        (_chunks_of(MIB), 1, 1, 1, True),
        (_chunks_of(MIB), 1, 2, 2, False),
        (_chunks_of(MIB, blocksize=4096), 1, 0, 0, False),  # one block
        (
            _chunks_of(
                MIB, cparams=PLAIN.cparams.model_copy(update={"filters": (0, 0, 0, 0, 0, DELTA)})
            ),
            1, 0, 0, False,
        ),
    ],
)  # fmt: skip
def test_blocks_are_fetched_where_they_cost_less(
    info: DatasetInfo, new: int, held: int, fetches: int, expected: bool
) -> None:
    assert blocks_pay(info, new, held, fetches) is expected


@pytest.mark.parametrize(
    ("stored", "new", "fetches", "together", "expected"),
    [
        (32 * KIB, 1, 0, 1, False),
        (32 * KIB, 1, 0, 3, False),  # less than a chunk that is worth it
        (32 * KIB, 1, 0, 4, True),
        (32 * KIB, 16, 0, 4, True),
        (32 * KIB, 17, 0, 4, False),
        (32 * KIB, 1, 1, 4, False),  # the second round trip costs as much as they
        (32 * KIB, 1, 1, 100, True),
        (8 * KIB, 1, 0, 1000, False),  # a chunk is as quick as a part of it
    ],
)
def test_chunks_of_one_request_share_what_it_costs(
    stored: int, new: int, fetches: int, together: int, expected: bool
) -> None:
    assert blocks_pay(_chunks_of(stored), new, 0, fetches, together=together) is expected


def test_the_blocks_of_many_chunks_are_waited_for_in_steps() -> None:
    """Choosing all of them at once would hold up the event loop for tens of milliseconds."""
    kept = {"missing_blocks": lambda n, ids: list(ids), "held_blocks": lambda n: (0, 0)}
    replica, steps = Mock(info=_chunks_of(32 * KIB), **kept), Mock(ensure=AsyncMock())
    requested = dict.fromkeys(range(MANY_CHUNKS), (0, 1))

    async def run() -> list[int]:
        fetches = ReplicaFetches(replica, Mock(), Mock(), Mock())
        fetches._blocks = steps
        return await fetches.blocks(np.arange(MANY_CHUNKS), requested)

    assert asyncio.run(run()) == list(requested)  # all share one round trip, whatever the step
    found = [call.args[0] for call in steps.ensure.await_args_list]
    assert max(map(len, found)) <= MANY_CHUNKS / 2
    assert set().union(*found) == {(n, block) for n in requested for block in (0, 1)}
