"""The gate for raw chunks: each forged header field is refused, every honest chunk passes."""

from __future__ import annotations

import struct
from typing import Any

import blosc2
import numpy as np
import pytest
import samples

from caterva2.errors import CodecNotAllowed, SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.frames.chunk import ChunkShape

NBYTES, BLOCK = 4000, 1000
SHAPE = ChunkShape.of("array", 4, BLOCK)
FILTERS = [
    blosc2.Filter.NOFILTER,
    blosc2.Filter.SHUFFLE,
    blosc2.Filter.BITSHUFFLE,
    blosc2.Filter.DELTA,
    blosc2.Filter.TRUNC_PREC,
    blosc2.Filter.BYTEDELTA,
]


def _packed(values: Any, **options: Any) -> bytearray:
    options = {"typesize": 4, "blocksize": BLOCK, "nthreads": 1} | options
    return bytearray(blosc2.compress2(values, **options))


@pytest.fixture
def honest() -> bytearray:
    return _packed(np.arange(NBYTES // 4, dtype="i4"))


def _forged(chunk: bytearray, at: int, form: str, value: int) -> bytearray:
    struct.pack_into(form, chunk, at, value)
    return chunk


def test_the_honest_chunk_passes(honest: bytearray) -> None:
    chunks.check(honest, SHAPE, NBYTES)
    chunks.check(memoryview(honest), SHAPE, NBYTES)


@pytest.mark.parametrize("codec", samples.ALLOWED_CODECS)
@pytest.mark.parametrize("code", FILTERS)
@pytest.mark.parametrize("clevel", [0, 5])
def test_every_allowed_codec_and_filter_passes(
    codec: blosc2.Codec, code: blosc2.Filter, clevel: int
) -> None:
    meta = 10 if code is blosc2.Filter.TRUNC_PREC else 0
    values = np.linspace(0, 1, NBYTES // 4, dtype="f4")
    chunk = _packed(values, codec=codec, filters=[code], filters_meta=[meta], clevel=clevel)
    chunks.check(chunk, SHAPE, NBYTES)


@pytest.mark.parametrize("splitmode", blosc2.SplitMode)
def test_every_way_of_splitting_passes(splitmode: blosc2.SplitMode) -> None:
    chunk = _packed(np.arange(NBYTES // 4, dtype="i4"), splitmode=splitmode)
    chunks.check(chunk, SHAPE, NBYTES)


def test_incompressible_chunks_pass() -> None:
    noise = np.random.default_rng(1).bytes(NBYTES)
    chunks.check(_packed(noise), SHAPE, NBYTES)


@pytest.mark.parametrize("value", [0.0, float("nan"), 7.5])
def test_special_values_pass(value: float) -> None:
    frame = samples.array_frame(np.full(3000, value), chunks=(1000,), blocks=(100,))
    for raw in samples.raw_chunks(frame):
        chunks.check(raw, ChunkShape.of("array", 8, 800), 8000)


def test_items_wider_than_the_header_can_tell_pass() -> None:
    frame = samples.array_frame(np.array([b"x"] * 20, dtype="S300"), chunks=(10,), blocks=(5,))
    for raw in samples.raw_chunks(frame):
        chunks.check(raw, ChunkShape.of("array", 300, 1500), 3000)


def test_a_last_chunk_that_is_shorter_passes() -> None:
    frame = samples.byte_frame(bytes(range(250)), 100)
    for raw, size in zip(samples.raw_chunks(frame), (100, 100, 50), strict=True):
        chunks.check(
            raw, ChunkShape.of("frame", 1, samples.reader_of(frame).header.blocksize), size
        )


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        pytest.param(0, "B", 4, id="version-old"),
        pytest.param(0, "B", 6, id="version-new"),
        pytest.param(2, "B", 0x01, id="flags-no-extended-header"),
        pytest.param(3, "B", 0, id="typesize-0"),
        pytest.param(3, "B", 8, id="typesize-other"),
        pytest.param(4, "<i", NBYTES + 4, id="nbytes-more"),
        pytest.param(4, "<i", NBYTES - 4, id="nbytes-less"),
        pytest.param(4, "<i", 2**31 - 1, id="nbytes-huge"),
        pytest.param(4, "<i", -1, id="nbytes-negative"),
        pytest.param(8, "<i", 0, id="blocksize-0"),
        pytest.param(8, "<i", -1, id="blocksize-negative"),
        pytest.param(8, "<i", 2 * BLOCK, id="blocksize-other"),
        pytest.param(8, "<i", NBYTES, id="blocksize-of-the-chunk"),
        pytest.param(12, "<i", 0, id="cbytes-0"),
        pytest.param(12, "<i", 32, id="cbytes-less"),
        pytest.param(12, "<i", 2**31 - 1, id="cbytes-huge"),
        pytest.param(30, "B", 0x01, id="blocks-of-variable-length"),
        pytest.param(31, "B", 0x02, id="big-endian"),
        pytest.param(31, "B", 0x08, id="lazy"),
        pytest.param(31, "B", 0x80, id="instrumented"),
        pytest.param(31, "B", 0x30, id="repeated-value-of-a-wrong-size"),
        pytest.param(31, "B", 0x40, id="uninitialised"),
        pytest.param(31, "B", 0x50, id="special-5"),
        pytest.param(31, "B", 0x60, id="special-6"),
        pytest.param(31, "B", 0x70, id="special-7"),
    ],
)
def test_a_forged_field_is_refused(honest: bytearray, at: int, form: str, value: int) -> None:
    with pytest.raises(SourceCorrupt):
        chunks.check(_forged(honest, at, form, value), SHAPE, NBYTES)


@pytest.mark.parametrize("code", [2, 5, 6, 7])
def test_a_codec_outside_of_the_list_is_refused(honest: bytearray, code: int) -> None:
    with pytest.raises(CodecNotAllowed):
        chunks.check(_forged(honest, 2, "B", honest[2] & 0x1F | code << 5), SHAPE, NBYTES)


@pytest.mark.parametrize("code", [5, 31, 32, 33, 34, 37, 160, 255])
@pytest.mark.parametrize("place", range(6))
def test_a_filter_outside_of_the_list_is_refused(honest: bytearray, code: int, place: int) -> None:
    with pytest.raises(CodecNotAllowed):
        chunks.check(_forged(honest, 16 + place, "B", code), SHAPE, NBYTES)


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_chunk_without_a_header_is_refused(honest: bytearray, size: int) -> None:
    with pytest.raises(SourceCorrupt):
        chunks.check(honest[:size], SHAPE, NBYTES)


def test_a_chunk_that_is_cut_off_or_goes_on_is_refused(honest: bytearray) -> None:
    for wrong in (honest[:-1], honest + b"x"):
        with pytest.raises(SourceCorrupt):
            chunks.check(wrong, SHAPE, NBYTES)


def test_a_special_chunk_with_something_behind_its_header_is_refused(honest: bytearray) -> None:
    with pytest.raises(SourceCorrupt):
        chunks.check(_forged(honest, 31, "B", 0x10), SHAPE, NBYTES)


@pytest.mark.parametrize(("kind", "value"), [(1, 0.0), (2, float("nan"))])
def test_special_writes_the_chunk_that_blosc2_reads(kind: int, value: float) -> None:
    shape = ChunkShape.of("array", 8, 800)
    raw = chunks.special(kind, shape, 8000)
    chunks.check(raw, shape, 8000)
    values = np.frombuffer(blosc2.decompress2(raw), "f8")
    np.testing.assert_array_equal(values, np.full(1000, value))


@pytest.mark.parametrize("kind", [1, 2])
def test_a_special_offset_says_all_of_its_chunk(kind: int) -> None:
    raw = chunks.special(kind, SHAPE, NBYTES)
    assert chunks.from_offset(chunks.special_offset(raw), SHAPE, NBYTES) == raw


def test_an_ordinary_chunk_has_no_special_offset(honest: bytearray) -> None:
    assert chunks.special_offset(honest) == 0


def test_uninitialised_memory_reads_as_zeros() -> None:
    raw = chunks.from_offset(0x84 << 56, SHAPE, NBYTES)
    assert blosc2.decompress2(raw) == bytes(NBYTES)


@pytest.mark.parametrize("kind", [0, 3, 5, 6, 7])
def test_an_unknown_special_offset_is_refused(kind: int) -> None:
    with pytest.raises(SourceCorrupt):
        chunks.from_offset((0x80 | kind) << 56, SHAPE, NBYTES)
