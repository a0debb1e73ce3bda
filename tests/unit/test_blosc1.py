"""Chunks of Blosc 1 become Blosc2 chunks that decode to the same bytes, or are refused"""

from __future__ import annotations

from typing import Any

import blosc2
import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caterva2.errors import SourceCorrupt
from caterva2.frames import blocks, blosc1
from caterva2.frames import chunk as chunks
from tests.thoroughness import examples

CODECS = ["blosclz", "lz4", "lz4hc", "zlib", "zstd"]
FILTERS = [0, 1, 2]
KINDS = ["zeros", "constant", "ramp", "noise", "half"]


def values(kind: str, dtype: str, count: int) -> Any:
    noise = np.random.default_rng(1).integers(0, 250, count)
    half = np.where(np.arange(count) < count // 2, 3, noise)
    made = {
        "zeros": np.zeros(count), "constant": np.full(count, 7), "ramp": np.arange(count),
        "noise": noise, "half": half,
    }[kind]  # fmt: skip
    return made.astype(dtype)


def stored(data: Any, **given: Any) -> bytes:
    return bytes(numcodecs.Blosc(**given).encode(data))


@st.composite
def cases(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A chunk of Blosc 1, and what is in it."""
    dtype = draw(st.sampled_from(["u1", "i2", "f4", "f8", "c16", "S3", "S20", "S255", "S300"]))
    count = draw(st.one_of(st.integers(1, 300), st.integers(300, 20_000)))
    data = values(draw(st.sampled_from(KINDS)), dtype, count)
    chunk = stored(
        data, cname=draw(st.sampled_from(CODECS)), clevel=draw(st.integers(0, 9)),
        shuffle=draw(st.sampled_from([*FILTERS, -1])),
        blocksize=draw(st.one_of(st.just(0), st.integers(1, 70_000))),
    )  # fmt: skip
    return chunk, data.tobytes()


@settings(max_examples=examples(200))
@given(cases())
def test_a_rewritten_chunk_passes_the_gate_and_decodes_to_the_same(
    case: tuple[bytes, bytes],
) -> None:
    chunk, data = case
    assert bytes(numcodecs.Blosc().decode(chunk)) == data
    made = blosc1.rewritten(chunk, len(data))
    assert blosc1.decompress(chunk, len(data)) == (None if made is None else data)
    if made is None:
        assert not blosc1.header(chunk).is_known
        return
    head = blosc1.header(chunk)
    chunks.check(made, chunks.ChunkShape(head.typesize, head.blocksize), len(data))
    assert blosc2.decompress2(made) == data


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shuffle", FILTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_common_chunks_are_rewritten(codec: str, shuffle: int, kind: str) -> None:
    data = values(kind, "f4", 50_000)
    chunk = stored(data, cname=codec, shuffle=shuffle, blocksize=40_000)
    made = blosc1.rewritten(chunk, data.nbytes)
    assert made is not None
    assert blosc2.decompress2(made) == data.tobytes()
    assert len(made) == len(chunk) + 16


def test_single_blocks_of_a_rewritten_chunk_are_those_of_the_whole() -> None:
    data = values("half", "f8", 40_000)
    made = blosc1.rewritten(stored(data, blocksize=4_000), data.nbytes)
    assert made is not None
    header = blocks.ChunkHeader.of(made)
    assert header.count > 2
    cut = blocks.cut_out_of(made, [1])
    sparse = blocks.sparse_chunk(made[:32], {1: cut.payload[32:]})
    part = slice(header.blocksize, 2 * header.blocksize)
    assert blosc2.decompress2(sparse)[part] == data.tobytes()[part]


def test_items_of_more_than_16_bytes_are_never_split() -> None:
    data = values("ramp", "S20", 5000)
    chunk = stored(data, cname="lz4")
    chunk = forged(chunk, 2, bytes([chunk[2] & ~0x10]))  # as chunks of older versions are
    assert bytes(numcodecs.Blosc().decode(chunk)) == data.tobytes()
    made = blosc1.rewritten(chunk, data.nbytes)
    assert made is not None
    assert blosc2.decompress2(made) == data.tobytes()


@pytest.mark.parametrize("count", [1001, 2004])
def test_bitshuffled_blocks_that_blosc2_decodes_differently_are_not_rewritten(count: int) -> None:
    data = values("ramp", "i4", count)
    chunk = stored(data, shuffle=2)
    assert blosc1.rewritten(chunk, data.nbytes) is None
    assert blosc1.decompress(chunk, data.nbytes) is None


def forged(chunk: bytes, at: int, value: bytes) -> bytes:
    return chunk[:at] + value + chunk[at + len(value) :]


RAMP = values("ramp", "i4", 20_000)
GOOD = stored(RAMP, blocksize=16_000)
START = int.from_bytes(GOOD[16:20], "little")
"""Where the first block is."""


BAD = {
    "nothing": b"",
    "no header": GOOD[:15],
    "no table": GOOD[:20],
    "cut off": GOOD[:-1],
    "too long": GOOD + b"x",
    "format": forged(GOOD, 0, b"\x07"),
    "typesize": forged(GOOD, 3, b"\x00"),
    "nbytes": forged(GOOD, 4, b"\xff\xff\xff\x7f"),
    "no blocksize": forged(GOOD, 8, b"\x00\x00\x00\x00"),
    "many blocks": forged(GOOD, 8, b"\x01\x00\x00\x00"),
    "cbytes": forged(GOOD, 12, b"\x00\x00\x00\x00"),
    "negative start": forged(GOOD, 16, b"\xff\xff\xff\xff"),
    "start in the header": forged(GOOD, 16, b"\x00\x00\x00\x00"),
    "start behind the end": forged(GOOD, 16, b"\xff\xff\xff\x0f"),
    "stream of nothing": forged(GOOD, START, b"\x00\x00\x00\x00"),
    "negative stream": forged(GOOD, START, b"\x01\x00\x00\x80"),
    "long stream": forged(GOOD, START, b"\xff\xff\xff\x00"),
    "claims to be plain": forged(GOOD, 2, bytes([GOOD[2] | 0x02])),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_damaged_chunks_are_refused(bad: bytes) -> None:
    with pytest.raises(SourceCorrupt):
        blosc1.rewritten(bad, RAMP.nbytes)
    with pytest.raises(SourceCorrupt):
        blosc1.decompress(bad, RAMP.nbytes)


def test_codecs_that_blosc2_has_not_are_left_to_others() -> None:
    snappy = forged(GOOD, 2, bytes([2 << 5 | 1]))
    assert blosc1.rewritten(snappy, RAMP.nbytes) is None
    assert blosc1.decompress(snappy, RAMP.nbytes) is None
