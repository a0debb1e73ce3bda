"""Values out of replicas, against numpy."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.arrays import points
from caterva2.arrays.selection import box, normalise, whole
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.cache.touched_blocks import Touched, touched
from caterva2.frames import blocks, compose
from caterva2.frames.chunk import HEADER
from caterva2.limits import DEFAULTS
from caterva2.names import RootName
from caterva2.reading import points as gathering
from caterva2.reading import slices
from caterva2.reading.scope import ReadScope
from tests.thoroughness import examples, some

ROOT = RootName("foo")


def _replica(store: Store, frame: bytes, path: str = "a.b2nd") -> tuple[Replica, list[bytes]]:
    return store.replica(ROOT, samples.describe(frame, path)), samples.raw_chunks(frame)


def _seal(replica: Replica) -> None:
    replica.seal()
    replica.keep()


@settings(max_examples=examples(120))
@given(st.data())
def test_values_are_numpys(data: st.DataObject) -> None:
    """From just the chunks that a slice touches, and again from the sealed file."""
    shape = tuple(data.draw(st.lists(st.integers(0, 9), max_size=3)))
    chunks = tuple(data.draw(st.integers(1, max(n, 1))) for n in shape)
    blocks = tuple(data.draw(st.integers(1, n)) for n in chunks)
    values = np.arange(np.prod(shape, dtype=int), dtype="i4").reshape(shape) + 1
    bound, step = st.none() | st.integers(-12, 12), st.none() | st.integers(-4, 4).filter(bool)
    key = tuple(
        data.draw(st.integers(-n, n - 1) if n and data.draw(st.booleans()) else st.just(None))
        for n in shape
    )
    key = tuple(
        slice(data.draw(bound), data.draw(bound), data.draw(step)) if k is None else k for k in key
    )
    grid = {} if 0 in shape or not shape else {"chunks": chunks, "blocks": blocks}
    frame = samples.array_frame(values, **grid)
    wanted = normalise(key, shape)
    with tempfile.TemporaryDirectory() as directory:
        replica, raw = _replica(Store(Path(directory)), frame)
        touched = box(wanted, replica.info.chunks).chunk_ids.tolist()
        if touched:
            assert slices.values(replica, wanted) is None
            samples.fill(replica, raw, touched)
        np.testing.assert_array_equal(slices.values(replica, wanted), values[key])
        rest = replica.missing(np.arange(len(raw))).tolist()
        if rest:
            samples.fill(replica, raw, rest)
        _seal(replica)
        np.testing.assert_array_equal(slices.values(replica, wanted), values[key])
        packed = slices.pack(replica.info, slices.values(replica, wanted))
        np.testing.assert_array_equal(samples.opened(packed), values[key])


@pytest.mark.parametrize("sealed", [False, True])
def test_slices_of_chunks_whose_blocks_depend_on_the_first_one(store: Store, sealed: bool) -> None:
    """With the delta filter Blosc2 decodes single blocks wrong."""
    values = np.arange(10_000).reshape(100, 100) ** 2
    frame = samples.array_frame(
        values, chunks=(50, 100), blocks=(10, 10), cparams={"filters": [blosc2.Filter.DELTA]}
    )
    replica, raw = _replica(store, frame)
    samples.fill(replica, raw, range(len(raw)))
    if sealed:
        _seal(replica)
    found = slices.values(replica, normalise(np.s_[70:73, 42:50], (100, 100)))
    np.testing.assert_array_equal(found, values[70:73, 42:50])


def _hold(replica: Replica, raw: list[bytes], wanted: Touched) -> None:
    for n, ids in wanted.items():
        for block in ids:
            found = blocks.cut_out_of(raw[n], [block]).payload
            replica.hold_blocks(n, found[:HEADER], {block: found[HEADER:]})


@settings(max_examples=examples(60))
@given(st.data())
def test_values_out_of_just_the_blocks_that_a_slice_touches_are_numpys(
    data: st.DataObject,
) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=3)))
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    grid = {"chunks": chunks, "blocks": tuple(data.draw(st.integers(1, n)) for n in chunks)}
    values = np.random.default_rng(3).integers(1, 100, shape, "i4")
    bound, step = st.none() | st.integers(-22, 22), st.none() | st.integers(-4, 4).filter(bool)
    key = tuple(
        data.draw(st.integers(-n, n - 1) | st.builds(slice, bound, bound, step)) for n in shape
    )
    frame, wanted = samples.array_frame(values, **grid), normalise(key, shape)
    with tempfile.TemporaryDirectory() as directory:
        replica, raw = _replica(Store(Path(directory)), frame)
        found = touched(wanted, replica.info)
        if found is None:
            return
        whole_ones = [n for n in found if data.draw(st.booleans())]
        samples.fill(replica, raw, whole_ones)
        _hold(replica, raw, {n: ids for n, ids in found.items() if n not in whole_ones})
        np.testing.assert_array_equal(slices.values(replica, wanted), values[key])


def test_points_out_of_just_the_blocks_that_hold_them(store: Store) -> None:
    values = np.random.default_rng(3).integers(1, 100, (40, 60))
    replica, raw = _replica(store, samples.array_frame(values, chunks=(20, 30), blocks=(4, 5)))
    rows, columns = [3, 39, 3, 0], [59, 0, 7, 7]
    wanted = points.parse([rows, columns], (40, 60))
    groups = points.group(wanted, replica.info.chunks)
    assert gathering.values(replica, wanted, groups) is None
    found = touched(wanted, replica.info)
    assert found is not None
    _hold(replica, raw, found)
    np.testing.assert_array_equal(gathering.values(replica, wanted, groups), values[rows, columns])


def test_a_chunk_that_is_there_in_part_is_never_given_as_a_chunk(store: Store) -> None:
    values = np.arange(200).reshape(10, 20)
    replica, raw = _replica(store, samples.array_frame(values, chunks=(10, 20), blocks=(5, 5)))
    _hold(replica, raw, {0: (0,)})
    assert replica.read(np.array([0])) is None
    assert replica.missing(np.array([0])).tolist() == [0]
    assert slices.values(replica, normalise(np.s_[4:6, 0], (10, 20))) is None


def test_a_chunk_that_came_as_a_whole_takes_the_place_of_its_parts(store: Store) -> None:
    values = np.arange(200).reshape(10, 20)
    replica, raw = _replica(store, samples.array_frame(values, chunks=(10, 20), blocks=(5, 5)))
    _hold(replica, raw, {0: (0,)})
    assert replica.held_blocks(0) == (1, 1)
    samples.fill(replica, raw, [0])
    assert replica.held_blocks(0) == (0, 0)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("key", [(), slice(3, 17), slice(None, None, -7), 29, slice(5, 5)])
def test_values_of_byte_strings(store: Store, key: Any, sealed: bool) -> None:
    data = bytes(range(30))
    replica, raw = _replica(store, samples.byte_frame(data, 10), "a.b2frame")
    samples.fill(replica, raw, range(len(raw)))
    if sealed:
        _seal(replica)
    found = slices.values(replica, normalise(key, (30,)))
    np.testing.assert_array_equal(found, np.frombuffer(data, "u1")[key])


@pytest.mark.parametrize("sealed", [False, True])
def test_values_of_records_and_strings(store: Store, sealed: bool) -> None:
    values = np.zeros(50, dtype=[("a", "<i4"), ("b", "S3"), ("c", "<U2")])
    values["a"], values["b"], values["c"] = np.arange(50), b"xyz", "ü"
    replica, raw = _replica(store, samples.array_frame(values, chunks=(20,), blocks=(5,)))
    samples.fill(replica, raw, range(len(raw)))
    if sealed:
        _seal(replica)
    found = slices.values(replica, normalise(slice(10, 45, 3), (50,)))
    np.testing.assert_array_equal(found, values[10:45:3])


@pytest.mark.parametrize("sealed", [False, True])
def test_memory_that_nobody_wrote_reads_as_zeros(store: Store, sealed: bool) -> None:
    array = blosc2.uninit((30,), dtype="f8", chunks=(10,), blocks=(5,), contiguous=True)
    array[10:20] = 1.0
    replica, raw = _replica(store, array.to_cframe())
    samples.fill(replica, raw, range(3))
    if sealed:
        _seal(replica)
    expected = np.repeat([0.0, 1.0, 0.0], 10)
    np.testing.assert_array_equal(slices.values(replica, whole((30,))), expected)


KEYS = [
    (),
    (slice(None, None, 32), slice(None, None, 8), slice(None, None, 8)),
    (slice(38, 3, -33), 5, slice(None, None, 50)),
    (3, slice(None, None, -79), slice(None, None, 7)),
    (slice(16, 32),),
    (slice(None, None, 19), slice(None, None, 79), 119),
]


@pytest.mark.parametrize(
    ("key", "sealed", "dtype"),
    some([*itertools.product(KEYS, [True, False], ["<f8", "<M8[s]"])], 3),
    ids=str,
)
def test_large_chunks_and_steps_over_blocks(
    store: Store, key: Any, sealed: bool, dtype: str
) -> None:
    values = np.arange(40 * 80 * 300).astype(dtype).reshape(40, 80, 300)
    frame = samples.array_frame(values, chunks=(16, 80, 64), blocks=(1, 30, 64))
    replica, raw = _replica(store, frame)
    samples.fill(replica, raw, range(len(raw)))
    if sealed:
        _seal(replica)
    wanted = normalise(key, values.shape)
    np.testing.assert_array_equal(slices.values(replica, wanted), values[key])
    if sealed:  # else a failure would be made up for by whole chunks
        found = slices.cut(blosc2.ndarray_from_cframe(frame), wanted)
        np.testing.assert_array_equal(found, values[key])


@pytest.mark.parametrize("step", [20_000, -30_000])
def test_steps_over_blocks_along_the_only_axis(step: int) -> None:
    values = np.arange(100_000.0)
    array = blosc2.asarray(values, chunks=(50_000,), blocks=(5000,))
    part = normalise(slice(None, None, step), values.shape)
    np.testing.assert_array_equal(slices.cut(array, part), values[::step])


def test_large_selections_are_decoded_in_steps(store: Store) -> None:
    values = np.arange(1000).reshape(10, 100)
    replica, raw = _replica(store, samples.array_frame(values, chunks=(3, 7), blocks=(2, 3)))
    samples.fill(replica, raw, range(len(raw)))
    scope = ReadScope(replace(DEFAULTS.cache, decode_step=1))
    key = slice(None, None, -2), slice(3, 90, 5)
    found = slices.values(replica, normalise(key, (10, 100)), (), scope)
    np.testing.assert_array_equal(found, values[::-2, 3:90:5])


def test_a_frame_of_whole_chunks_holds_them_as_they_are(store: Store) -> None:
    values = np.arange(200, dtype="u2").reshape(10, 20)
    replica, raw = _replica(store, samples.array_frame(values, chunks=(5, 5), blocks=(2, 3)))
    wanted = box(normalise((slice(5, 10), slice(5, 15)), (10, 20)), replica.info.chunks)
    samples.fill(replica, raw, [5, 6])
    chunks = replica.read(wanted.chunk_ids)
    assert chunks is not None
    frame = slices.frame_of_chunks(replica.info, wanted, chunks)
    assert samples.raw_chunks(bytes(frame)) == [raw[5], raw[6]]
    np.testing.assert_array_equal(samples.opened(frame), values[5:, 5:15])


@pytest.mark.parametrize("count", [0, 1, 10, 100_000])
def test_pack_keeps_dtype_and_compression(store: Store, count: int) -> None:
    cparams = {"codec": blosc2.Codec.LZ4, "clevel": 3}
    values = np.arange(100_000, dtype="<f4")
    replica, _ = _replica(store, samples.array_frame(values, cparams=cparams))
    array = blosc2.ndarray_from_cframe(bytes(slices.pack(replica.info, values[:count])))
    assert (array.dtype, array.shape) == (values.dtype, (count,))
    assert array.schunk.cparams.codec == blosc2.Codec.LZ4
    np.testing.assert_array_equal(array[:], values[:count])


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_piece_of_a_file_is_a_chunk_of_its_frame(size: int) -> None:
    data = np.random.default_rng(1).bytes(size)
    info = samples.describe(samples.byte_frame(b"x" * size, size), "a.b2frame")
    chunk = slices.pack_file_chunk(info, data)
    schunk = blosc2.schunk_from_cframe(bytes(compose.frame(compose.template(info), [chunk])))
    assert schunk[:] == data


@pytest.mark.parametrize(
    "key", [(), (slice(0, 10),), (slice(3, 4), slice(0, 2)), (0,), (slice(None, None, 7),)]
)
def test_values_keep_no_memory_but_their_own(store: Store, key: Any) -> None:
    frame = samples.array_frame(np.arange(400).reshape(20, 20), chunks=(10, 20), blocks=(5, 20))
    replica, chunks = _replica(store, frame)
    samples.fill(replica, chunks, range(2))
    found = slices.values(replica, normalise(key, (20, 20)))
    assert found is not None
    base = found if found.base is None else found.base
    assert base.nbytes == found.nbytes
    assert found.flags.c_contiguous
