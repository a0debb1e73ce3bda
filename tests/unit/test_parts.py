"""Parts of chunks in memory: what is held, and for how long."""

from __future__ import annotations

import blosc2
import numpy as np

from caterva2.cache.memory.parts import BLOCK_COST, Parts
from caterva2.frames import blocks
from caterva2.frames.chunk import HEADER

ROOMY = 2**20
DATA = np.arange(4000, dtype="<i4").tobytes()
RAW = blosc2.compress2(DATA, typesize=4, blocksize=1600, nthreads=1)


def _some(*ids: int) -> dict[int, bytes]:
    return {n: blocks.cut_out_of(RAW, [n]).payload[HEADER:] for n in ids}


def _values(parts: Parts, *ids: int) -> list[bytes] | None:
    made = parts.chunk(1, 0, ids)
    if made is None:
        return None
    data = blosc2.decompress2(made)
    return [data[n * 1600 : (n + 1) * 1600] for n in ids]


def _expected(*ids: int) -> list[bytes]:
    return [DATA[n * 1600 : (n + 1) * 1600] for n in ids]


def test_blocks_that_arrive_later_are_held_beside_the_others() -> None:
    parts = Parts(ROOMY)
    parts.add(1, 0, RAW[:HEADER], _some(3))
    assert _values(parts, 3, 7) is None
    parts.add(1, 0, RAW[:HEADER], _some(7))
    assert _values(parts, 3, 7) == _expected(3, 7)
    assert parts.held(1, 0) == (2, 2)
    assert parts.missing(1, 0, [2, 3, 7, 8]) == [2, 8]


def test_blocks_of_one_dataset_are_nobody_elses() -> None:
    parts = Parts(ROOMY)
    parts.add(1, 0, RAW[:HEADER], _some(3))
    assert parts.missing(2, 0, [3]) == [3]
    assert parts.missing(1, 1, [3]) == [3]
    assert parts.chunk(2, 0, [3]) is None


def test_blocks_under_another_header_replace_what_is_held() -> None:
    parts = Parts(ROOMY)
    parts.add(1, 0, bytes(HEADER), _some(3))
    parts.add(1, 0, RAW[:HEADER], _some(7))
    assert parts.missing(1, 0, [3, 7]) == [3]


def test_the_chunk_that_was_not_read_for_longest_goes_first() -> None:
    part = len(_some(3)[3]) + 2 * BLOCK_COST
    parts = Parts(2 * part)
    for n in (0, 1):
        parts.add(1, n, RAW[:HEADER], _some(3))
    assert parts.chunk(1, 0, [3])
    parts.add(1, 2, RAW[:HEADER], _some(3))
    assert [parts.chunk(1, n, [3]) is not None for n in range(3)] == [True, False, True]


def test_what_was_forgotten_leaves_its_room() -> None:
    part = len(_some(3)[3]) + 2 * BLOCK_COST
    parts = Parts(2 * part)
    for owner in range(5):
        parts.add(owner, 0, RAW[:HEADER], _some(3))
        parts.add(owner, 1, RAW[:HEADER], _some(3))
        assert parts.chunk(owner, 0, [3])
        parts.drop(owner, [0])
        parts.forget(owner)
        assert parts.missing(owner, 1, [3]) == [3]
    assert parts.nbytes == 0
