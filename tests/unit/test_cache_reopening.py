"""Replicas after a crash: they go on where they ended, and no damage is served."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import samples
from replicas import EVERYTHING, INFO, RAW, ROOT, damage, reopened

from caterva2.cache.store import Store
from tests.thoroughness import some


def test_a_partly_filled_replica_comes_back(store: Store, tmp_path: Path) -> None:
    samples.fill(store.replica(ROOT, INFO), RAW, [7, 2, 5])
    again = reopened(store, tmp_path).replica(ROOT, INFO)
    assert again.read(np.array([2, 5, 7])) == [RAW[2], RAW[5], RAW[7]]
    assert again.cached_chunks == 3


def test_it_goes_on_where_it_ended(store: Store, tmp_path: Path) -> None:
    samples.fill(store.replica(ROOT, INFO), RAW, [7, 2, 5])
    again = reopened(store, tmp_path).replica(ROOT, INFO)
    samples.fill(again, RAW, again.missing(EVERYTHING).tolist())
    assert again.read(EVERYTHING) == RAW


def test_a_torn_tail_is_dropped(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replica = store.replica(ROOT, INFO)
    samples.fill(replica, RAW, [0])
    samples.fill(replica, RAW, [1, 2])
    file = replica.file
    size = file.stat().st_size
    del replica
    store = reopened(store, tmp_path)
    with file.open("r+b") as data:
        data.truncate(size - 1)
    with caplog.at_level(logging.WARNING):
        again = store.replica(ROOT, INFO)
    assert again.missing(np.arange(3)).tolist() == [2]
    assert again.read(np.array([0, 1])) == RAW[:2]
    assert "torn" in caplog.text
    samples.fill(again, RAW, again.missing(EVERYTHING).tolist())
    assert again.read(EVERYTHING) == RAW


def test_a_data_file_that_is_gone_starts_anew(store: Store, tmp_path: Path) -> None:
    replica = store.replica(ROOT, INFO)
    samples.fill(replica, RAW, [0])
    replica.file.unlink()
    del replica
    again = reopened(store, tmp_path).replica(ROOT, INFO)
    assert again.cached_chunks == 0


def test_a_damaged_index_starts_anew(store: Store, tmp_path: Path) -> None:
    replica = store.replica(ROOT, INFO)
    samples.fill(replica, RAW, [0])
    index = replica.file.with_suffix(".index")
    del replica
    store = reopened(store, tmp_path)
    index.write_bytes(b"garbage" * 1000)
    assert store.replica(ROOT, INFO).cached_chunks == 0


@pytest.mark.parametrize("seal", [False, True])
def test_a_damaged_chunk_is_found_at_its_first_use_and_forgotten(
    store: Store, tmp_path: Path, seal: bool
) -> None:
    replica = store.replica(ROOT, INFO)
    samples.fill(replica, RAW, range(10))
    if seal:
        replica.seal()
        replica.keep()
    damage(replica, 4)
    del replica
    again = reopened(store, tmp_path).replica(ROOT, INFO)
    assert again.read(EVERYTHING[:4]) == RAW[:4]
    assert again.read(EVERYTHING) is None
    assert again.missing(EVERYTHING).tolist() == [4]
    assert not again.complete
    assert again.sealed is None


def test_a_flipped_bit_of_a_record_never_gives_wrong_bytes(store: Store, tmp_path: Path) -> None:
    replica = store.replica(ROOT, INFO)
    samples.fill(replica, RAW, range(5))
    index = replica.file.with_suffix(".index")
    del replica
    store = reopened(store, tmp_path)
    content = index.read_bytes()
    start = len(content) - 16 * INFO.nchunks
    for bit in some(range(128)):
        damaged = bytearray(content)
        damaged[start + 16 * 2 + bit // 8] ^= 1 << bit % 8
        index.write_bytes(damaged)
        again = store.replica(ROOT, INFO)
        assert again.read(np.array([2])) in (None, [RAW[2]]), f"bit {bit}"
        del again
        store.close()  # without a collection of garbage: nothing else refers to the replica
        store = Store(tmp_path / "cache")


def test_a_record_that_turned_into_one_of_zeros_is_not_believed(
    store: Store, tmp_path: Path
) -> None:
    replica = store.replica(ROOT, INFO)
    samples.fill(replica, RAW, range(5))
    index = replica.file.with_suffix(".index")
    del replica
    store = reopened(store, tmp_path)
    content = bytearray(index.read_bytes())
    content[len(content) - 16 * INFO.nchunks + 16 * 2 + 7] = 0x81
    index.write_bytes(content)
    assert store.replica(ROOT, INFO).read(np.array([2])) in (None, [RAW[2]])
