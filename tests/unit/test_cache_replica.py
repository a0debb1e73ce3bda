"""Sparse replicas: filling, reopening after a crash, damage, sealing; and the store of them."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import blosc2
import numpy as np
import pytest
import samples

from caterva2.arrays.selection import normalise, whole
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.errors import CodecNotAllowed, SourceCorrupt
from caterva2.limits import DEFAULTS
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath, RootName
from caterva2.reading import slices
from caterva2.reading.handles import Handles

ROOT = RootName("foo")
VALUES = np.random.default_rng(5).integers(0, 2**30, 100)
FRAME = samples.array_frame(VALUES, {"a": 1}, chunks=(10,), blocks=(5,))
RAW = samples.raw_chunks(FRAME)
INFO = samples.describe(FRAME)
EVERYTHING = np.arange(10)


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    """What other tests left need not be looked at each time that a store is closed."""
    gc.freeze()
    yield
    gc.unfreeze()


def _reopened(store: Store, tmp_path: Path) -> Store:
    """The store after a restart of the subscriber."""
    store.close()
    gc.collect()
    return Store(tmp_path / "cache")


def _damage(replica: Replica, n: int) -> None:
    """Flip a bit of a stored chunk."""
    at = _place(replica, n) + 40
    with replica.file.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _place(replica: Replica, n: int) -> int:
    at = replica.file.read_bytes().find(RAW[n])
    assert at > 0
    return at


@pytest.fixture
def replica(store: Store) -> Replica:
    return store.replica(ROOT, INFO)


@pytest.fixture
def sealed(replica: Replica) -> Replica:
    samples.fill(replica, RAW, range(10))
    replica.seal()
    replica.keep()
    return replica


# --- filling ---


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


# --- reopening ---


def test_a_partly_filled_replica_comes_back(store: Store, tmp_path: Path) -> None:
    samples.fill(store.replica(ROOT, INFO), RAW, [7, 2, 5])
    again = _reopened(store, tmp_path).replica(ROOT, INFO)
    assert again.read(np.array([2, 5, 7])) == [RAW[2], RAW[5], RAW[7]]
    assert again.cached_chunks == 3


def test_it_goes_on_where_it_ended(store: Store, tmp_path: Path) -> None:
    samples.fill(store.replica(ROOT, INFO), RAW, [7, 2, 5])
    again = _reopened(store, tmp_path).replica(ROOT, INFO)
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
    store = _reopened(store, tmp_path)
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
    again = _reopened(store, tmp_path).replica(ROOT, INFO)
    assert again.cached_chunks == 0


def test_a_damaged_index_starts_anew(store: Store, tmp_path: Path) -> None:
    replica = store.replica(ROOT, INFO)
    samples.fill(replica, RAW, [0])
    index = replica.file.with_suffix(".index")
    del replica
    store = _reopened(store, tmp_path)
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
    _damage(replica, 4)
    del replica
    again = _reopened(store, tmp_path).replica(ROOT, INFO)
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
    store = _reopened(store, tmp_path)
    content = index.read_bytes()
    start = len(content) - 16 * INFO.nchunks
    for bit in range(128):
        damaged = bytearray(content)
        damaged[start + 16 * 2 + bit // 8] ^= 1 << bit % 8
        index.write_bytes(damaged)
        again = store.replica(ROOT, INFO)
        assert again.read(np.array([2])) in (None, [RAW[2]]), f"bit {bit}"
        del again
        store = _reopened(store, tmp_path)


def test_a_record_that_turned_into_one_of_zeros_is_not_believed(
    store: Store, tmp_path: Path
) -> None:
    replica = store.replica(ROOT, INFO)
    samples.fill(replica, RAW, range(5))
    index = replica.file.with_suffix(".index")
    del replica
    store = _reopened(store, tmp_path)
    content = bytearray(index.read_bytes())
    content[len(content) - 16 * INFO.nchunks + 16 * 2 + 7] = 0x81
    index.write_bytes(content)
    assert store.replica(ROOT, INFO).read(np.array([2])) in (None, [RAW[2]])


# --- sealing ---


def test_a_sealed_replica_is_a_plain_file(sealed: Replica) -> None:
    array = blosc2.open(str(sealed.file))
    np.testing.assert_array_equal(array[:], VALUES)
    assert array.schunk.vlmeta["a"] == 1
    assert array.chunks == INFO.chunks


def test_what_is_sent_is_the_file(sealed: Replica) -> None:
    frame = sealed.sealed
    assert frame is not None
    content = b"".join(frame.pread(100, at) for at in range(0, frame.size, 100))
    assert content == sealed.file.read_bytes()
    np.testing.assert_array_equal(samples.opened(content), VALUES)


def test_a_chunk_that_comes_again_does_not_grow_a_sealed_file(sealed: Replica) -> None:
    content = sealed.file.read_bytes()
    samples.fill(sealed, RAW, [3])
    assert sealed.file.read_bytes() == content
    assert sealed.read(EVERYTHING) == RAW


@pytest.mark.parametrize("size", [0, 1, 50, 120])
def test_a_sealed_byte_string_is_a_plain_file(store: Store, size: int) -> None:
    data = (b"Hello world!" * 10)[:size]
    frame = samples.byte_frame(data, 40)
    info = samples.describe(frame, "a.b2frame")
    replica = store.replica(ROOT, info)
    raw = samples.raw_chunks(frame)
    samples.fill(replica, raw, range(len(raw)))
    replica.seal()
    replica.keep()
    schunk = blosc2.open(str(replica.file))
    assert b"".join(schunk.decompress_chunk(n) for n in range(schunk.nchunks)) == data


@pytest.mark.parametrize("value", [0.0, np.nan, 3.5])
def test_a_sealed_replica_of_special_chunks_is_a_plain_file(store: Store, value: float) -> None:
    frame = samples.array_frame(np.full(100, value), chunks=(10,), blocks=(5,))
    replica = store.replica(ROOT, samples.describe(frame))
    samples.fill(replica, samples.raw_chunks(frame), range(10))
    replica.seal()
    replica.keep()
    np.testing.assert_array_equal(blosc2.open(str(replica.file))[:], np.full(100, value))


def test_an_empty_array_is_complete_at_once(store: Store) -> None:
    replica = store.replica(ROOT, samples.describe(samples.array_frame(np.empty((0, 3)))))
    assert replica.complete
    replica.keep()
    assert blosc2.open(str(replica.file)).shape == (0, 3)


def test_sealing_twice_changes_nothing(sealed: Replica) -> None:
    content = sealed.file.read_bytes()
    sealed.seal()
    sealed.keep()
    assert sealed.file.read_bytes() == content


@pytest.mark.parametrize("kept", [False, True])
def test_a_sealed_replica_comes_back_sealed(store: Store, tmp_path: Path, kept: bool) -> None:
    replica = store.replica(ROOT, INFO)
    samples.fill(replica, RAW, range(10))
    replica.seal()
    if kept:
        replica.keep()
    del replica
    again = _reopened(store, tmp_path).replica(ROOT, INFO)
    assert again.sealed is not None
    content = again.sealed.pread(again.sealed.size, 0)
    np.testing.assert_array_equal(samples.opened(content), VALUES)


def test_it_is_sealed_again_after_a_damaged_chunk_came_anew(
    store: Store, tmp_path: Path, sealed: Replica
) -> None:
    _damage(sealed, 4)
    del sealed
    again = _reopened(store, tmp_path).replica(ROOT, INFO)
    assert again.verify(EVERYTHING).tolist() == [4]
    samples.fill(again, RAW, [4])
    assert again.seal() is not None
    again.keep()
    np.testing.assert_array_equal(blosc2.open(str(again.file))[:], VALUES)


def test_an_open_array_does_not_serve_a_chunk_that_was_damaged(
    store: Store, tmp_path: Path, sealed: Replica
) -> None:
    _damage(sealed, 4)
    del sealed
    again = _reopened(store, tmp_path).replica(ROOT, INFO)
    everything = whole(INFO.shape)
    first = _slice(again, 0, 10)
    np.testing.assert_array_equal(first, VALUES[:10])
    assert slices.values(again, everything) is None
    samples.fill(again, RAW, [4])
    again.seal()
    np.testing.assert_array_equal(slices.values(again, everything), VALUES)


def _slice(replica: Replica, start: int, stop: int) -> slices.Values | None:
    return slices.values(replica, normalise(slice(start, stop), replica.info.shape))


def test_an_open_array_outlives_the_new_name_of_its_file(replica: Replica) -> None:
    samples.fill(replica, RAW, range(10))
    replica.seal()
    array = Handles(2).array(replica)
    assert array is not None
    replica.keep()
    np.testing.assert_array_equal(array[:], VALUES)


# --- the store ---


def test_the_store_opens_a_replica_once(store: Store) -> None:
    replica = store.replica(ROOT, INFO)
    assert store.replica(ROOT, INFO) is replica
    assert store.opened(ROOT, INFO) is replica


def _keeping_one(directory: Path) -> Store:
    return Store(directory, limits=replace(DEFAULTS.cache, open_replicas=1))


def test_not_even_one_that_fell_out_of_the_recent(tmp_path: Path) -> None:
    store = _keeping_one(tmp_path)
    replica = store.replica(ROOT, INFO)
    store.replica(ROOT, _other("b.b2nd"))
    assert store.replica(ROOT, INFO) is replica


def test_one_that_nobody_reads_is_let_go(tmp_path: Path) -> None:
    store = _keeping_one(tmp_path)
    store.replica(ROOT, INFO)
    store.replica(ROOT, _other("b.b2nd"))
    gc.collect()
    assert store.opened(ROOT, INFO) is None


def _other(path: str = "a.b2nd", etag: str = "v1") -> DatasetInfo:
    return INFO.model_copy(update={"path": DatasetPath(path), "etag": etag})


def test_versions_datasets_and_roots_are_apart(store: Store) -> None:
    replicas = [
        store.replica(ROOT, INFO),
        store.replica(ROOT, _other(etag="v2")),
        store.replica(ROOT, _other("b.b2nd")),
        store.replica(RootName("bar"), INFO),
    ]
    assert len({replica.file for replica in replicas}) == 4


def test_a_replica_of_another_kind_is_not_taken_for_one_of_its_etag(store: Store) -> None:
    store.replica(ROOT, INFO)
    store.close()
    other = INFO.model_copy(update={"kind": "file"})
    assert store.replica(ROOT, other).info.kind == "file"


def test_names_of_files_are_never_input(store: Store, tmp_path: Path) -> None:
    store.replica(ROOT, _other("Secret/Name.b2nd", etag="../../x"))
    files = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")]
    assert not any("Secret" in file or "Name" in file or ".." in file for file in files)


def test_known_versions(store: Store) -> None:
    path = DatasetPath("a.b2nd")
    assert store.known_versions(ROOT, path) == []
    store.replica(ROOT, INFO)
    store.replica(ROOT, _other(etag="v2"))
    assert {info.etag for info in store.known_versions(ROOT, path)} == {"v1", "v2"}


def test_known_versions_pass_over_what_is_damaged(store: Store) -> None:
    replica = store.replica(ROOT, INFO)
    index = replica.file.with_suffix(".index")
    content = index.read_bytes()
    index.with_name("x.index").write_bytes(content.replace(b"\xa3foo", b"\xa3f/o"))
    found = store.known_versions(ROOT, DatasetPath("a.b2nd"))
    assert [info.etag for info in found] == ["v1"]


def test_forget_keeps_one_version(store: Store) -> None:
    kept = store.replica(ROOT, INFO)
    store.replica(ROOT, _other(etag="v2"))
    store.forget(ROOT, INFO.path, keep_etag="v1")
    assert [info.etag for info in store.known_versions(ROOT, INFO.path)] == ["v1"]
    assert store.replica(ROOT, INFO) is kept


def test_forget_removes_all_files(store: Store, sealed: Replica, tmp_path: Path) -> None:
    store.forget(ROOT, INFO.path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
    assert store.opened(ROOT, INFO) is None


@pytest.mark.parametrize("complete", [False, True])
def test_who_reads_a_forgotten_replica_is_not_disturbed(
    store: Store, replica: Replica, complete: bool
) -> None:
    samples.fill(replica, RAW, range(10 if complete else 5))
    replica.seal()
    store.forget(ROOT, INFO.path)
    assert replica.read(EVERYTHING[:5]) == RAW[:5]
    np.testing.assert_array_equal(_slice(replica, 3, 44), VALUES[3:44])
    assert store.replica(ROOT, INFO).cached_chunks == 0


def test_a_forgotten_replica_does_not_touch_the_files_of_the_next(
    store: Store, replica: Replica
) -> None:
    samples.fill(replica, RAW, range(10))
    replica.seal()
    store.forget(ROOT, INFO.path)
    following = store.replica(ROOT, INFO)
    samples.fill(following, RAW, [0])
    with contextlib.suppress(OSError):
        replica.keep()
    assert not following.file.with_suffix(".b2nd").exists()
    assert following.read(EVERYTHING[:1]) == RAW[:1]
