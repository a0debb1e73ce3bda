"""Complete replicas are plain files, and stay what they are."""

from __future__ import annotations

from pathlib import Path

import blosc2
import numpy as np
import pytest
import samples
from replicas import EVERYTHING, INFO, RAW, ROOT, VALUES, damage, reopened, sliced

from caterva2.arrays.selection import whole
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.reading import slices
from caterva2.reading.handles import Handles


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
    again = reopened(store, tmp_path).replica(ROOT, INFO)
    assert again.sealed is not None
    content = again.sealed.pread(again.sealed.size, 0)
    np.testing.assert_array_equal(samples.opened(content), VALUES)


def test_it_is_sealed_again_after_a_damaged_chunk_came_anew(
    store: Store, tmp_path: Path, sealed: Replica
) -> None:
    damage(sealed, 4)
    del sealed
    again = reopened(store, tmp_path).replica(ROOT, INFO)
    assert again.verify(EVERYTHING).tolist() == [4]
    samples.fill(again, RAW, [4])
    assert again.seal() is not None
    again.keep()
    np.testing.assert_array_equal(blosc2.open(str(again.file))[:], VALUES)


def test_an_open_array_does_not_serve_a_chunk_that_was_damaged(
    store: Store, tmp_path: Path, sealed: Replica
) -> None:
    damage(sealed, 4)
    del sealed
    again = reopened(store, tmp_path).replica(ROOT, INFO)
    everything = whole(INFO.shape)
    first = sliced(again, 0, 10)
    np.testing.assert_array_equal(first, VALUES[:10])
    assert slices.values(again, everything) is None
    samples.fill(again, RAW, [4])
    again.seal()
    np.testing.assert_array_equal(slices.values(again, everything), VALUES)


def test_an_open_array_outlives_the_new_name_of_its_file(replica: Replica) -> None:
    samples.fill(replica, RAW, range(10))
    replica.seal()
    array = Handles(2).array(replica)
    assert array is not None
    replica.keep()
    np.testing.assert_array_equal(array[:], VALUES)
