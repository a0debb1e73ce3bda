"""Decoded blocks that a worker keeps"""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from caterva2.arrays.selection import normalise
from caterva2.cache.store import Store
from caterva2.limits import DEFAULTS
from caterva2.workers import permits
from caterva2.workers.generations import Generations, SeenGenerations
from caterva2.workers.permits import HeldDataset, Key, Permits
from caterva2.workers.replica import ReadReplica
from tests.unit import replicas

BLOCK = 5 * replicas.VALUES.itemsize + permits.BLOCK_COST
ETAGS = "one", "two"


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[HeldDataset]]:
    """Two versions of a dataset whose chunks have changed places, with room for two blocks."""
    monkeypatch.setattr(permits, "BLOCKS", 2 * BLOCK)
    generations, store, found = Generations(), Store(tmp_path / "cache"), []
    made = Permits(SeenGenerations(generations.descriptor), DEFAULTS.cache)
    for etag, raw in zip(ETAGS, (replicas.RAW, replicas.RAW[::-1]), strict=True):
        info = replicas.INFO.model_copy(update={"etag": etag})
        sizes, digests = list(map(len, raw)), list(map(zlib.crc32, raw))
        store.replica(replicas.ROOT, info).add(range(10), sizes, digests, b"".join(raw))
        opened = ReadReplica(
            store.base_of(replicas.ROOT, info.path, etag), replicas.ROOT, etag, 100
        )
        for n in range(10):
            assert opened.warm(n, 0)
        key = Key(etag, replicas.ROOT, info.path)
        made.permit(key, generations.marks(*key[1:]), 60.0, "", False, opened)
        dataset = made.dataset(key)
        assert dataset is not None
        found.append(dataset)
    yield found
    generations.close()


def values(dataset: HeldDataset, n: int) -> list[int]:
    """The first three values of a chunk."""
    found = dataset.try_values(normalise(slice(10 * n, 10 * n + 3), (100,)))
    assert found is not None
    return found.tolist()


def test_what_is_kept_is_of_one_version_and_of_so_many_bytes(
    held: list[HeldDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    try_block = ReadReplica.try_block
    monkeypatch.setattr(
        ReadReplica, "try_block", lambda one, n, b: read.append(n) or try_block(one, n, b)
    )
    numbers = np.arange(100).reshape(10, 10)
    for n in (0, 0, 1, 0, 2, 0, 1):  # 1 had to go for 2
        assert values(held[0], n) == replicas.VALUES[numbers[n, :3]].tolist()
    assert read == [0, 1, 2, 1]
    assert values(held[1], 0) == replicas.VALUES[numbers[9, :3]].tolist()


def test_blocks_of_few_bytes_take_no_more_memory_than_others(held: list[HeldDataset]) -> None:
    kept = held[0].blocks
    kept.max_size = 2000 * permits.BLOCK_COST
    tracemalloc.start()
    try:
        for n in range(4000):
            kept.put((held[0].place, n, 0), np.zeros(1, np.uint8))
        assert tracemalloc.get_traced_memory()[0] < kept.max_size
    finally:
        tracemalloc.stop()
