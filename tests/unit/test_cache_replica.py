"""Sparse replicas: what chunks they take, and what they give back."""

from __future__ import annotations

import os

import numpy as np
import pytest
import samples
from replicas import EVERYTHING, RAW, ROOT

from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.errors import CodecNotAllowed, SourceCorrupt


def test_a_new_replica_has_nothing(replica: Replica) -> None:
    assert replica.missing(EVERYTHING).tolist() == list(range(10))
    assert (replica.complete, replica.cached_chunks, replica.cached_bytes) == (False, 0, 0)
    assert replica.read(EVERYTHING[:1]) is None
    assert replica.seal() is None


def test_chunks_come_back_in_whatever_order_they_arrived(replica: Replica) -> None:
    order = np.random.default_rng(3).permutation(10).tolist()
    for n in range(0, 10, 3):
        samples.fill(replica, RAW, order[n : n + 3])
        have = np.array(order[: n + 3])
        assert replica.read(have) == [RAW[i] for i in have]
        assert sorted(replica.missing(EVERYTHING).tolist()) == sorted(order[n + 3 :])
    assert replica.complete
    assert replica.cached_bytes == sum(map(len, RAW))


def test_chunks_side_by_side_are_read_by_one_call(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.fill(replica, RAW, [5, 6, 7, 2, 8, 9, 0, 1])
    calls: list[int] = []
    pread = os.pread

    def counted(fd: int, size: int, offset: int) -> bytes:
        calls.append(size)
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    ids = np.array([0, 1, 2, 8, 5, 6, 7])
    assert replica.read(ids) == [RAW[n] for n in ids]
    assert calls == [sum(len(RAW[n]) for n in run) for run in ([0, 1], [2, 8], [5, 6, 7])]


def test_the_gate_stands_before_the_replica(replica: Replica) -> None:
    forged = bytearray(RAW[0])
    forged[2] |= 0xE0
    with pytest.raises(CodecNotAllowed):
        replica.check(0, forged)
    for n in (-1, 10):
        with pytest.raises(SourceCorrupt):
            replica.check(n, RAW[0])


def test_a_chunk_that_comes_twice_counts_once(replica: Replica) -> None:
    samples.fill(replica, RAW, [1])
    samples.fill(replica, RAW, [1])
    assert replica.cached_chunks == 1


def test_a_chunk_that_comes_twice_in_one_payload_counts_once(replica: Replica) -> None:
    samples.fill(replica, RAW, [1, 1])
    assert replica.cached_chunks == 1


def test_chunks_of_zeros_take_no_room(store: Store) -> None:
    frame = samples.array_frame(np.zeros(100), chunks=(10,), blocks=(5,))
    raw = samples.raw_chunks(frame)
    replica = store.replica(ROOT, samples.describe(frame))
    before = replica.file.stat().st_size
    samples.fill(replica, raw, range(10))
    assert replica.file.stat().st_size == before
    assert replica.read(EVERYTHING) == raw
