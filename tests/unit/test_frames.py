"""Frames of real arrays through reader and composer."""

from __future__ import annotations

import os
import struct
from typing import Any

import blosc2
import msgpack
import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.errors import NotFound, SourceCorrupt
from caterva2.frames import compose, layout
from caterva2.frames.raw import Run
from caterva2.limits import constants
from tests.thoroughness import examples

DTYPES = [
    "|u1", "<i2", "<i4", "<i8", "<f4", "<f8", "<c8", "<c16", "|b1", "|S6", "<U3", "|V5",
    "<M8[ns]", "<m8[s]", "|S300", ">i4",
]  # fmt: skip
GRIDS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((), {}),
    ((0,), {}),
    ((0, 5), {}),
    ((1,), {}),
    ((1000,), {"chunks": (100,), "blocks": (10,)}),
    ((997,), {"chunks": (100,), "blocks": (33,)}),
    ((10, 20), {"chunks": (5, 5), "blocks": (2, 3)}),
    ((7, 11, 5), {"chunks": (3, 4, 5), "blocks": (2, 2, 2)}),
    ((2, 3, 4, 5), {"chunks": (1, 2, 3, 4), "blocks": (1, 2, 2, 2)}),
    ((2,) * 8, {"chunks": (1,) * 8, "blocks": (1,) * 8}),
]


def _values(shape: tuple[int, ...], dtype: str) -> Any:
    numbers = np.random.default_rng(7).integers(0, 2, (*shape, np.dtype(dtype).itemsize), "u1")
    if dtype in ("<U3", "|S6", "|S300"):
        return numbers[..., 0].astype("S1").astype(dtype)
    flat = np.ascontiguousarray(numbers).reshape(-1).view(dtype)
    return flat.reshape(shape)


def _composed(content: bytes) -> bytes:
    info = samples.describe(content)
    return bytes(compose.frame(compose.template(info), samples.raw_chunks(content)))


def _assert_equal_arrays(content: bytes, expected: Any) -> None:
    values = np.asarray(samples.opened(content)).reshape(expected.shape)
    assert values.dtype == expected.dtype
    assert values.tobytes() == expected.tobytes()


# --- honest frames ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "grid"), [GRIDS[0], GRIDS[6]])
def test_every_dtype_comes_through(dtype: str, shape: tuple[int, ...], grid: Any) -> None:
    frame = samples.array_frame(_values(shape, dtype), **grid)
    # Blosc2 itself gives a void dtype a field, so what it makes of the original counts.
    _assert_equal_arrays(_composed(frame), np.asarray(samples.opened(frame)))


def test_records_come_through() -> None:
    values = np.zeros(50, dtype=[("a", "<i4"), ("b", "<f8", (2,)), ("c", [("d", "S3")])])
    values["a"] = np.arange(50)
    frame = samples.array_frame(values, chunks=(20,), blocks=(5,))
    _assert_equal_arrays(_composed(frame), values)


@pytest.mark.parametrize(("shape", "grid"), GRIDS)
def test_every_shape_comes_through(shape: tuple[int, ...], grid: dict[str, Any]) -> None:
    values = _values(shape, "<i4")
    _assert_equal_arrays(_composed(samples.array_frame(values, **grid)), values)


@pytest.mark.parametrize("codec", samples.ALLOWED_CODECS)
@pytest.mark.parametrize("filters", [[], [blosc2.Filter.BITSHUFFLE], [blosc2.Filter.DELTA]])
def test_every_codec_comes_through(codec: blosc2.Codec, filters: list[blosc2.Filter]) -> None:
    values = np.arange(1000, dtype="i4")
    cparams = {"codec": codec, "clevel": 3, "filters": filters}
    frame = samples.array_frame(values, chunks=(300,), blocks=(100,), cparams=cparams)
    _assert_equal_arrays(_composed(frame), values)
    assert samples.describe(frame).cparams == samples.describe(_composed(frame)).cparams


@settings(max_examples=examples(60))
@given(st.data())
def test_any_grid_comes_through(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    blocks = tuple(data.draw(st.integers(1, n)) for n in chunks)
    values = _values(shape, data.draw(st.sampled_from(["<i4", "|u1", "<f8"])))
    frame = samples.array_frame(values, chunks=chunks, blocks=blocks)
    info = samples.describe(frame)
    assert (info.shape, info.chunks, info.blocks) == (shape, chunks, blocks)
    _assert_equal_arrays(_composed(frame), values)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 1234])
def test_byte_strings_come_through(size: int) -> None:
    data = np.random.default_rng(2).bytes(size)
    frame = samples.byte_frame(data, 100)
    info = samples.describe(frame, "a.b2frame")
    composed = compose.frame(compose.template(info), samples.raw_chunks(frame))
    schunk = blosc2.schunk_from_cframe(bytes(composed))
    assert b"".join(schunk.decompress_chunk(n) for n in range(schunk.nchunks)) == data


def test_vlmeta_is_kept() -> None:
    vlmeta = {"a": 1, "b": "foo", "c": 123.456, "d": {"e": [1, 2, None]}, "f": b"x" * 10_000}
    frame = samples.array_frame(np.arange(10), vlmeta)
    array = blosc2.ndarray_from_cframe(_composed(frame))
    assert dict(array.schunk.vlmeta.getall()) == vlmeta


@pytest.mark.parametrize("count", [16, 17, 40, constants.VLMETA_ITEMS])
@pytest.mark.parametrize("path", ["a.b2nd", "a.b2frame"])
def test_a_frame_has_any_number_of_vlmeta_entries(path: str, count: int) -> None:
    is_array = path == "a.b2nd"
    content = samples.array_frame(np.arange(10)) if is_array else samples.byte_frame(b"0123456", 4)
    values = {f"attribute {n}": [n, "x" * (n % 50)] for n in range(count)}
    vlmeta = {name: msgpack.packb(value) for name, value in values.items()}
    info = samples.describe(content, path).model_copy(update={"vlmeta": vlmeta})
    frame = bytes(compose.frame(compose.template(info), samples.raw_chunks(content)))
    assert samples.describe(frame, path).vlmeta == vlmeta
    array = blosc2.ndarray_from_cframe(frame) if is_array else None
    schunk = array.schunk if array is not None else blosc2.schunk_from_cframe(frame)
    assert dict(schunk.vlmeta.getall()) == values


def test_a_trailer_is_written_as_blosc2_writes_it() -> None:
    info = samples.describe(samples.array_frame(np.arange(10), {"a": 1, "b": "foo" * 500}))
    trailer = compose.template(info).trailer
    assert layout.trailer(layout.parse_trailer(trailer)) == trailer


@pytest.mark.parametrize("name", ["", "x" * 32, "é" * 16])
def test_a_vlmeta_name_that_frames_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(SourceCorrupt, match="name of metadata has"):
        layout.trailer({name: b"x"})


def test_a_value_of_vlmeta_is_given_as_it_is_stored() -> None:
    info = samples.describe(samples.array_frame(np.arange(10), {"a": [1, "x"]}))
    assert info.vlmeta == {"a": msgpack.packb([1, "x"])}


@pytest.mark.parametrize("value", [0.0, float("nan"), 2.5])
def test_special_chunks_come_through(value: float) -> None:
    values = np.full((20, 10), value)
    values[7, 3] = 1.0
    frame = samples.array_frame(values, chunks=(5, 5), blocks=(5, 5))
    _assert_equal_arrays(_composed(frame), values)


@pytest.mark.parametrize("make", [blosc2.zeros, blosc2.nans, blosc2.uninit])
def test_arrays_of_special_chunks_alone_come_through(make: Any) -> None:
    array = make((30,), dtype="f8", chunks=(10,), blocks=(5,), contiguous=True)
    value = np.nan if make is blosc2.nans else 0.0
    _assert_equal_arrays(_composed(array.to_cframe()), np.full(30, value))


def test_a_repeated_value_comes_through() -> None:
    array = blosc2.full((30,), 3.5, dtype="f8", chunks=(10,), blocks=(5,), contiguous=True)
    _assert_equal_arrays(_composed(array.to_cframe()), np.full(30, 3.5))


def test_a_box_is_a_frame_of_its_own() -> None:
    values = np.arange(200, dtype="u2").reshape(10, 20)
    frame = samples.array_frame(values, chunks=(5, 5), blocks=(2, 3))
    raw = samples.raw_chunks(frame)
    parts = compose.box_template(samples.describe(frame), (5, 10))
    _assert_equal_arrays(bytes(compose.frame(parts, [raw[5], raw[6]])), values[5:, 5:15])


def test_a_frame_that_was_changed_in_place_is_read_right() -> None:
    array = blosc2.asarray(np.arange(100), chunks=(10,), blocks=(5,))
    for start in (90, 0, 50):
        array[start : start + 10] = np.random.default_rng(start).integers(0, 2**60, 10)
    _assert_equal_arrays(_composed(array.to_cframe()), array[:])


# --- the reader ---


NUMBERS = samples.array_frame(np.arange(100), chunks=(10,), blocks=(5,))


def test_chunks_come_in_the_order_asked_for() -> None:
    reader, raw = samples.reader_of(NUMBERS), samples.raw_chunks(NUMBERS)
    ids = [3, 4, 5, 1, 1, 9, 0]
    runs = list(reader.runs(ids))
    assert [n for run in runs for n in run.ids] == ids
    assert b"".join(run.payload for run in runs) == b"".join(raw[n] for n in ids)


def test_neighbours_are_given_as_they_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, raw = samples.reader_of(NUMBERS), samples.raw_chunks(NUMBERS)
    read, given = reader._pread, list[bytes]()

    def noted(size: int, offset: int) -> bytes:
        given.append(read(size, offset))
        return given[-1]

    monkeypatch.setattr(reader, "_pread", noted)
    for ids, copied in (([2, 3, 4], False), ([2, 4], True), ([4, 3], True)):
        [run] = reader.runs(ids)
        assert run.payload == b"".join(raw[n] for n in ids)
        assert (run.payload is given[-1]) is not copied


def test_run_has_nothing_of_a_read_beside_its_chunks() -> None:
    read = memoryview(b"0123456789")
    for pieces in ([read[:3], read[3:8]], [read[:3], read[4:]], [read[1:]], [read[:4], b"456789"]):
        assert Run.of(list(range(len(pieces))), pieces).payload == b"".join(pieces)


def test_a_run_is_about_as_large_as_asked_for() -> None:
    reader = samples.reader_of(NUMBERS)
    runs = list(reader.runs(range(10), max_bytes=150))
    assert len(runs) > 1
    assert all(len(run.payload) <= 150 or len(run.ids) == 1 for run in runs)


@pytest.mark.parametrize("n", [-1, 10, 2**31])
def test_a_chunk_that_does_not_exist(n: int) -> None:
    with pytest.raises(NotFound):
        list(samples.reader_of(NUMBERS).runs([0, n]))


def test_what_lies_behind_the_frame_is_ignored() -> None:
    _assert_equal_arrays(_composed(NUMBERS + b"garbage"), np.arange(100))


def test_a_reader_closes_its_file_even_where_it_refuses() -> None:
    fd = os.memfd_create("x")
    with pytest.raises(SourceCorrupt):
        samples.FrameReader(fd)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


# --- layout ---


def test_a_header_can_be_patched() -> None:
    content = samples.SMALL["a.b2nd"]
    header = content[: layout.header_length(content)]
    parsed = layout.parse_header(layout.patched_header(header, 5000, 1000))
    assert (parsed.frame_length, parsed.cbytes) == (5000, 1000)


def test_a_header_that_is_too_long_is_refused() -> None:
    content = bytearray(samples.SMALL["a.b2nd"])
    struct.pack_into(">i", content, layout.HEADER_LENGTH_AT, constants.FRAME_HEADER + 1)
    with pytest.raises(SourceCorrupt):
        layout.header_length(bytes(content))
