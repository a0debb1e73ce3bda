"""Damaged and forged frames: refused, or harmless."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.errors import CodecNotAllowed, SourceCorrupt
from caterva2.frames import compose, layout
from caterva2.names import DatasetPath
from tests.thoroughness import examples, some


def _use(content: bytes, path: str = "a.b2nd") -> None:
    """Everything that a publisher does with a frame."""
    reader = samples.reader_of(content)
    reader.info(DatasetPath(path), "array" if path.endswith(".b2nd") else "frame", "v1", 0.0)
    list(reader.runs(range(min(reader.nchunks, 100))))


def _assert_refused_or_harmless(content: bytes, path: str = "a.b2nd") -> None:
    try:
        _use(content, path)
    except (SourceCorrupt, CodecNotAllowed):
        return


@pytest.mark.parametrize("path", samples.SMALL)
def test_a_truncated_frame_is_refused(path: str) -> None:
    for size in range(len(samples.SMALL[path])):
        with pytest.raises(SourceCorrupt):
            _use(samples.SMALL[path][:size], path)


@pytest.mark.parametrize("path", samples.SMALL)
def test_a_flipped_bit_is_refused_or_harmless(path: str) -> None:
    for at in range(len(samples.SMALL[path])):
        for bit in some(range(8), 8, at):
            damaged = bytearray(samples.SMALL[path])
            damaged[at] ^= 1 << bit
            _assert_refused_or_harmless(bytes(damaged), path)


@pytest.mark.parametrize("path", samples.SMALL)
@pytest.mark.parametrize("value", [0x00, 0x7F, 0x80, 0xC1, 0xFF])
def test_an_overwritten_byte_is_refused_or_harmless(path: str, value: int) -> None:
    for at in some(range(len(samples.SMALL[path])), 4, value):
        damaged = bytearray(samples.SMALL[path])
        damaged[at] = value
        _assert_refused_or_harmless(bytes(damaged), path)


@settings(max_examples=examples(300))
@given(st.data())
def test_overwritten_bytes_are_refused_or_harmless(data: st.DataObject) -> None:
    damaged = bytearray(samples.SMALL["a.b2nd"])
    at = data.draw(st.integers(0, len(damaged) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=12))
    damaged[at : at + len(patch)] = patch
    _assert_refused_or_harmless(bytes(damaged))


@settings(max_examples=examples(200))
@given(st.binary(max_size=300))
def test_anything_else_is_refused(content: bytes) -> None:
    for start in (b"", b"\x9e\xa8b2frame\x00"):
        with pytest.raises(SourceCorrupt):
            _use(start + content)


@pytest.mark.parametrize("claim", [2**40, 2**62, -1])
def test_sizes_that_a_header_claims_are_not_believed(claim: int) -> None:
    for at in (layout.FRAME_LENGTH_AT, layout.CBYTES_AT):
        damaged = bytearray(samples.SMALL["a.b2nd"])
        struct.pack_into(">q", damaged, at, claim)
        with pytest.raises(SourceCorrupt):
            _use(bytes(damaged))


def _b2nd_layer(dtype: Any) -> bytes:
    fields = [0, 1, [40], [10], [5], 0, dtype]
    return bytes(msgpack.packb(fields, use_bin_type=True))


@pytest.mark.parametrize("dtype", ["|O8", "nonsense", 5, b"<i4", "<i8" * 2000, None])
def test_a_forged_dtype_is_refused(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = samples.reader_of(samples.SMALL["a.b2nd"])
    monkeypatch.setitem(reader.header.metalayers, "b2nd", _b2nd_layer(dtype))
    with pytest.raises(SourceCorrupt):
        reader.info(DatasetPath("a.b2nd"), "array", "v1", 0.0)


def test_a_dtype_that_disagrees_with_the_item_size_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = samples.reader_of(samples.SMALL["a.b2nd"])
    monkeypatch.setitem(reader.header.metalayers, "b2nd", _b2nd_layer("<i8"))
    with pytest.raises(SourceCorrupt):
        reader.info(DatasetPath("a.b2nd"), "array", "v1", 0.0)


def test_a_byte_string_is_not_an_array() -> None:
    with pytest.raises(SourceCorrupt):
        samples.describe(samples.SMALL["a.b2frame"], "a.b2nd")


def test_a_shape_that_the_frame_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = samples.reader_of(samples.SMALL["a.b2nd"])
    layer = msgpack.packb([0, 1, [400], [10], [5], 0, "<i4"])
    monkeypatch.setitem(reader.header.metalayers, "b2nd", layer)
    with pytest.raises(SourceCorrupt):
        reader.info(DatasetPath("a.b2nd"), "array", "v1", 0.0)


def _header_with(position: int, value: Any) -> bytes:
    """A frame's header with one field of another content; its length is told right."""
    content = samples.SMALL["a.b2nd"]
    whole = content[: layout.header_length(content)]
    fields = msgpack.unpackb(whole, raw=True, strict_map_key=False)
    fields[position] = value
    for _ in range(2):
        fields[1] = len(msgpack.packb(fields))
    return bytes(msgpack.packb(fields))


@pytest.mark.parametrize(
    ("position", "value"),
    [
        pytest.param(3, b"\x12\x00\x05", id="short-flags"),
        pytest.param(3, b"\x12\x01\x05\x00", id="sparse"),
        pytest.param(5, 1.5, id="cbytes-no-number"),
        pytest.param(12, msgpack.ExtType(6, b"\0" * 4), id="short-filters"),
        pytest.param(12, [], id="no-filters"),
        pytest.param(13, [0, {}, [b"x"]], id="metalayer-without-name"),
        pytest.param(13, 7, id="no-metalayers"),
        pytest.param(13, [0, {b"\xff": 0}, [b"x"]], id="name-no-text"),
        pytest.param(13, [0, {5: 0}, [2**50]], id="content-is-a-number"),
    ],
)
def test_a_malformed_header_field_is_refused(position: int, value: Any) -> None:
    with pytest.raises(SourceCorrupt):
        layout.parse_header(_header_with(position, value))


def test_a_header_with_a_list_as_a_key_is_refused() -> None:
    with pytest.raises(SourceCorrupt):
        layout.parse_header(b"\x81\x91\x01\x02")


@pytest.mark.parametrize("code", [9, 33, 200])
def test_a_template_of_an_unknown_codec_is_refused(code: int) -> None:
    info = samples.describe(samples.SMALL["a.b2nd"])
    forged = info.model_copy(update={"cparams": info.cparams.model_copy(update={"codec": code})})
    with pytest.raises(CodecNotAllowed):
        compose.template(forged)


@pytest.mark.parametrize("code", [32, 99])
def test_a_template_of_an_unknown_filter_is_refused(code: int) -> None:
    info = samples.describe(samples.SMALL["a.b2nd"])
    filters = (0, 0, 0, 0, 0, code)
    cparams = info.cparams.model_copy(update={"filters": filters})
    with pytest.raises(CodecNotAllowed):
        compose.template(info.model_copy(update={"cparams": cparams}))
