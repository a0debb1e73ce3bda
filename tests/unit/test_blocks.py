"""Chunks made of only some of their blocks, against Blosc2's own reading of the whole."""

from __future__ import annotations

import itertools
from typing import Any

import blosc2
import numpy as np
import pytest
import samples

from caterva2.errors import NotFound, SourceCorrupt
from caterva2.frames import blocks, chunk, compose
from caterva2.frames.chunk import HEADER, ChunkShape
from caterva2.limits.constants import CHUNK_BLOCKS
from caterva2.model import DatasetInfo
from tests.thoroughness import some

FILTERS = [
    [],
    [blosc2.Filter.SHUFFLE],
    [blosc2.Filter.BITSHUFFLE],
    [blosc2.Filter.TRUNC_PREC, blosc2.Filter.SHUFFLE],
    [blosc2.Filter.SHUFFLE, blosc2.Filter.BYTEDELTA],
]
SPLITS = [blosc2.SplitMode.ALWAYS_SPLIT, blosc2.SplitMode.NEVER_SPLIT]
GRID = {"chunks": (50, 60), "blocks": (8, 25)}  # shorter than whole blocks at both ends
RNG = np.random.default_rng(5)
SMOOTH = np.arange(6000).reshape(100, 60) * 3
NOISE = RNG.integers(0, 2**62, (100, 60))


def _held(cut: blocks.Cut) -> dict[int, bytes]:
    ends = list(itertools.accumulate(cut.sizes, initial=HEADER))
    return {
        n: cut.payload[begin:end]
        for n, (begin, end) in zip(cut.ids, itertools.pairwise(ends), strict=True)
    }


def _sparse(info: DatasetInfo, raw: bytes, ids: list[int]) -> bytes:
    """A chunk that holds some blocks, by the way of publisher and subscriber."""
    cut = blocks.cut_out_of(raw, ids)
    assert cut.ids == tuple(ids)
    start = cut.payload[:HEADER]
    blocks.check_sizes(start, cut.ids, cut.sizes)
    made = blocks.sparse_chunk(start, _held(cut))
    chunk.check(made, ChunkShape.of("array", info.typesize, info.blocksize), info.chunksize)
    return made


def _check_each_block(values: Any, **cparams: Any) -> None:
    frame = samples.array_frame(values, cparams=cparams, **GRID)
    expected = samples.opened(frame)
    info, raw = samples.describe(frame), samples.raw_chunks(frame)
    across = -(-info.chunks[1] // info.blocks[1])
    count = info.chunksize // info.blocksize
    parts = compose.box_template(info, info.chunks)
    for n in range(count):
        made = _sparse(info, raw[1], [n])
        array = blosc2.ndarray_from_cframe(bytes(compose.frame(parts, [made])))
        start = (n // across * 8, n % across * 25)
        stop = (min(start[0] + 8, 50), min(start[1] + 25, 60))
        found = np.empty([b - a for a, b in zip(start, stop, strict=True)], array.dtype)
        array.get_slice_numpy(found, (start, stop))
        where = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        np.testing.assert_array_equal(found, expected[50:][where])


@pytest.mark.parametrize("filters", FILTERS, ids=lambda f: "-".join(x.name for x in f) or "none")
@pytest.mark.parametrize("codec", samples.ALLOWED_CODECS)
def test_each_block_alone_has_its_values(codec: Any, filters: Any) -> None:
    first = samples.ALLOWED_CODECS.index(codec) + FILTERS.index(filters)
    for split, values in some([*itertools.product(SPLITS, (SMOOTH, NOISE))], 3, first):
        _check_each_block(
            values.astype("f8"),
            codec=codec,
            filters=filters,
            filters_meta=[10] * len(filters),
            splitmode=split,
            nthreads=2,
        )


@pytest.mark.parametrize("dtype", ["u1", "<i2", "<f4", "<c16", "S7", "<U5", "S200", "S300"])
@pytest.mark.parametrize("split", SPLITS)
def test_each_block_alone_has_its_values_whatever_the_size_of_items(dtype: str, split: Any) -> None:
    _check_each_block(SMOOTH.astype(dtype), splitmode=split)


@pytest.mark.parametrize("nthreads", [1, 4])
@pytest.mark.parametrize("clevel", [0, 5])
@pytest.mark.parametrize("kind", ["smooth", "noise"])
def test_blocks_of_a_byte_string_with_a_shorter_last_one(
    kind: str, clevel: int, nthreads: int
) -> None:
    data = np.arange(30_001, dtype="<i4").tobytes()[:100_004]
    if kind == "noise":
        data = RNG.bytes(100_004)
    raw = blosc2.compress2(
        data, typesize=4, blocksize=4096, clevel=clevel, nthreads=nthreads,
        splitmode=blosc2.SplitMode.ALWAYS_SPLIT,
    )  # fmt: skip
    count = blocks.ChunkHeader.of(raw).count
    for n in range(count):
        cut = blocks.cut_out_of(raw, [n])
        made = blocks.sparse_chunk(raw[:HEADER], _held(cut))
        at = slice(n * 4096, (n + 1) * 4096)
        assert blosc2.decompress2(made)[at] == data[at]
    together = blocks.cut_out_of(raw, list(range(count)))
    assert blosc2.decompress2(blocks.sparse_chunk(raw[:HEADER], _held(together))) == data


def _indivisible() -> dict[str, bytes]:
    delta = {"cparams": {"filters": [blosc2.Filter.DELTA], "nthreads": 1}}
    return {
        "delta": samples.array_frame(SMOOTH, **GRID, **delta),
        "zeros": blosc2.zeros((100, 60), "f8", contiguous=True, **GRID).to_cframe(),
        "nan": blosc2.nans((100, 60), "f8", contiguous=True, **GRID).to_cframe(),
        "value": blosc2.full((100, 60), 7.5, contiguous=True, **GRID).to_cframe(),
        "uninit": blosc2.uninit((100, 60), "f8", contiguous=True, **GRID).to_cframe(),
    }


@pytest.mark.parametrize("name", _indivisible())
def test_chunks_whose_blocks_depend_on_each_other_are_sent_whole(name: str) -> None:
    frame = _indivisible()[name]
    raw = samples.raw_chunks(frame)[1]
    assert samples.reader_of(frame).blocks(1, [0]) == blocks.Cut((), (), raw)
    assert blocks.cut_out_of(raw, [0]) == blocks.Cut((), (), raw)


@pytest.mark.parametrize("values", [SMOOTH, NOISE], ids=["smooth", "noise"])
def test_a_file_gives_the_same_blocks_as_the_whole_chunk(values: Any) -> None:
    frame = samples.array_frame(values, cparams={"nthreads": 4}, **GRID)
    reader, raw = samples.reader_of(frame), samples.raw_chunks(frame)
    for n, ids in itertools.product(range(2), ([0], [20, 3, 4], list(range(21)))):
        assert reader.blocks(n, ids) == blocks.cut_out_of(raw[n], ids)


def test_blocks_and_chunks_that_do_not_exist_are_refused() -> None:
    reader = samples.reader_of(samples.array_frame(SMOOTH, **GRID))
    for n, ids in ((2, [0]), (0, [21]), (0, [0, -1])):
        with pytest.raises(NotFound):
            reader.blocks(n, ids)


def _damaged(at: int, value: int) -> bytes:
    raw = bytearray(samples.raw_chunks(samples.array_frame(SMOOTH, **GRID))[0])
    raw[at : at + 4] = value.to_bytes(4, "little", signed=True)
    return bytes(raw)


@pytest.mark.parametrize("value", [0, 32 + 4 * 21 - 1, -5, 2**30])
def test_a_table_that_points_out_of_the_chunk_is_refused(value: int) -> None:
    with pytest.raises(SourceCorrupt):
        blocks.cut_out_of(_damaged(HEADER + 4 * 3, value), [0])


def test_a_chunk_that_is_too_short_for_its_table_is_refused() -> None:
    with pytest.raises(SourceCorrupt):
        blocks.cut_out_of(_damaged(12, HEADER + 8), [0])


@pytest.mark.parametrize(
    ("ids", "sizes"), [([21], [10]), ([0], [0]), ([0], [8 * 25 * 8 + 33])],
    ids=["unknown", "empty", "too-large"],
)  # fmt: skip
def test_sizes_that_no_block_can_have_are_refused(ids: list[int], sizes: list[int]) -> None:
    raw = samples.raw_chunks(samples.array_frame(SMOOTH, **GRID))[0]
    with pytest.raises(SourceCorrupt):
        blocks.check_sizes(raw[:HEADER], ids, sizes)


@pytest.mark.parametrize(("count", "divisible"), [(CHUNK_BLOCKS, True), (CHUNK_BLOCKS + 1, False)])
def test_a_chunk_with_too_many_blocks_is_not_divided(count: int, divisible: bool) -> None:
    data = RNG.integers(0, 256, 32 * count, np.uint8)
    raw = blosc2.compress2(data, typesize=1, blocksize=32, clevel=0, nthreads=1)
    assert blocks.ChunkHeader.of(raw).count == count
    assert bool(blocks.cut_out_of(raw, [count - 1]).ids) is divisible


def test_a_chunk_with_a_shorter_last_block_has_no_map() -> None:
    for size, found in ((3000, True), (2500, False)):
        raw = blosc2.compress2(bytes(range(250)) * (size // 250), blocksize=1000, nthreads=1)

        def read(size: int, at: int, raw: bytes = raw) -> bytes:
            return raw[at : at + size]

        assert (blocks.Map.of(raw[:HEADER], read) is not None) is found


@pytest.mark.parametrize("values", [SMOOTH[:8, :25], NOISE[:8, :25], np.full((8, 25), 7)])
def test_a_chunk_with_any_other_byte_has_another_digest(values: Any) -> None:
    [raw] = samples.raw_chunks(samples.array_frame(values, chunks=(8, 25), blocks=(4, 25)))
    known = blocks.digest(raw)
    assert len(known) == 16
    for at in range(len(raw)):
        other = bytearray(raw)
        other[at] ^= 1
        if blocks.ChunkHeader.of(other).blocksize > 0:  # else it does not pass the gate
            assert blocks.digest(bytes(other)) != known, at


def test_a_chunk_whose_table_makes_no_sense_has_no_digest() -> None:
    [raw] = samples.raw_chunks(samples.array_frame(SMOOTH[:8, :25], chunks=(8, 25), blocks=(4, 25)))
    assert blocks.digest(raw[:HEADER] + b"\xff" * 8 + raw[HEADER + 8 :]) == b""
