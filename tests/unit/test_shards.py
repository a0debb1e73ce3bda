"""Stored chunks become shards of Zarr: other decoders find in them what Blosc2 finds"""

from __future__ import annotations

import json
import struct
from typing import Any

import blosc2
import google_crc32c
import numcodecs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from caterva2.errors import SourceCorrupt
from caterva2.frames import blocks
from caterva2.frames.shards import inner, streams
from caterva2.frames.shards.index import index_of
from caterva2.frames.shards.inner import Conversion
from caterva2.frames.shards.shard import inner_chunks, shard
from tests import thoroughness
from tests.thoroughness import examples
from tests.unit.storedchunks import Case, cases, made

CODEC = numcodecs.Blosc()
COUNTED: list[bool] = []
TENSORED: list[int] = []
"""Blocks that numcodecs and tensorstore decoded."""
LZ4, ZSTD = streams.LZ4_FORMAT, streams.ZSTD_FORMAT


def decoded(piece: bytes | None, nbytes: int) -> bytes:
    return bytes(nbytes) if piece is None else bytes(CODEC.decode(piece))


@settings(max_examples=thoroughness.examples(300))
@given(cases())
@example(Case("half", "<f8", 128, splits="always", codec="zstd"))
@example(Case("half", "<f8", 127, splits="always"))
@example(Case("ramp", "<i4", 1501, filters=(2,)))
@example(Case("half", "|S20", 200, splits="always"))
@example(Case("noise", "<f4", 1000, filters=(3, 1)))
@example(Case("nans", "<f8", 700))
@example(Case("noise", "<f2", 1500, clevel=9, dictionary=True))
def test_inner_chunks_decode_to_the_blocks(case: Case) -> None:
    for chunk in made(case):
        data, header = blosc2.decompress2(chunk), blocks.ChunkHeader.of(chunk)
        index = index_of(chunk)
        pieces = inner_chunks(chunk)
        assert len(pieces) == header.count == index.count
        for n, piece in enumerate(pieces):
            wanted = data[n * header.blocksize :][: header.blocksize]
            assert decoded(piece, len(wanted)) == wanted, (case, n)
            assert int(index.table[n, 1]) == len(piece or b"")


@settings(max_examples=thoroughness.examples(200))
@given(cases(), st.data())
def test_an_inner_chunk_is_made_of_the_stored_block_alone(case: Case, draw: st.DataObject) -> None:
    chunk = draw.draw(st.sampled_from(made(case)))
    index, conversion = index_of(chunk), Conversion.of(chunk[:32])
    n = draw.draw(st.integers(0, index.count - 1))
    _, _, begin, size = index.table[n].tolist()
    if conversion.way in ("plain", "copied", "decoded"):
        assert conversion.inner(chunk[begin : begin + size]) == inner_chunks(chunk)[n]
    else:
        assert size == 0


def test_a_shard_has_its_inner_chunks_and_an_index_with_a_checksum() -> None:
    [chunk, *_] = made(Case("half", "<f8", 1000))
    index, whole = index_of(chunk), shard(chunk)
    assert len(whole) == index.size
    places = np.frombuffer(whole[-4 - 16 * index.count : -4], "<u8").reshape(-1, 2)
    assert struct.unpack("<I", whole[-4:]) == (google_crc32c.value(places.tobytes()),)
    for (start, size), piece in zip(places.tolist(), inner_chunks(chunk), strict=True):
        absent = (start, size) == (2**64 - 1, 2**64 - 1)
        assert piece is None if absent else whole[start : start + size] == piece


def test_blocks_of_zeros_are_absent() -> None:
    values = np.zeros(4000)
    values[1000:2000] = 7.5
    array = blosc2.asarray(values, chunks=(4000,), blocks=(1000,))
    index = index_of(array.schunk.get_chunk(0))
    assert (index.table[:, 1] > 0).tolist() == [False, True, False, False]
    nothing = blosc2.zeros((4000,), chunks=(4000,), blocks=(1000,))
    whole = shard(nothing.schunk.get_chunk(0))
    assert whole[:64] == b"\xff" * 64
    assert len(whole) == 68


def test_the_blocks_of_a_range_are_found() -> None:
    values = np.random.default_rng(2).random(4000)
    values[1000:2000] = 0
    array = blosc2.asarray(values, chunks=(4000,), blocks=(1000,))
    index = index_of(array.schunk.get_chunk(0))
    first = int(index.table[0, 1])
    assert index.touched(0, 1) == index.touched(0, first) == [0]
    assert index.touched(first - 1, first + 1) == [0, 2]
    assert index.touched(index.data_bytes, index.size) == []


def test_conversion_adds_few_bytes_and_copies_the_rest() -> None:
    values = np.cumsum(np.random.default_rng(3).random(200_000))
    array = blosc2.asarray(values, chunks=(200_000,), blocks=(20_000,))
    chunk = array.schunk.get_chunk(0)
    assert Conversion.of(chunk).way == "copied"
    assert len(shard(chunk)) <= len(chunk) + 50 * 10


@pytest.mark.parametrize("codec", [0, LZ4, 3, ZSTD])
@pytest.mark.parametrize("count", [1, 12, 13, 14, 24, 25, 128, 300, 131_072, 131_073, 400_000])
def test_a_run_decodes_to_its_byte(codec: int, count: int) -> None:
    stream = streams.run(codec, count, 200)
    assert len(stream) == streams.run_size(codec, count)
    if codec == LZ4 and len(stream) < count:
        head = struct.pack("<I", count)
        assert numcodecs.LZ4().decode(head + stream) == b"\xc8" * count
    elif codec == ZSTD:
        assert numcodecs.Zstd().decode(stream) == b"\xc8" * count
    else:
        assert stream == b"\xc8" * count


@pytest.mark.parametrize("size", [1, 2, 3, 8, 14, 15, 16, 255, 300])
def test_a_repeated_item_decodes_to_itself(size: int) -> None:
    item = bytes(range(1, 256))[:size].ljust(size, b"x")
    for more in (0, 1, 12, 13, 14, 15, 16, 300, 5000):
        count = size + more
        found = CODEC.decode(inner.repeated(item, min(size, 255), count))
        assert bytes(found) == (item * 6000)[:count], more


def test_memory_that_was_never_written_counts_as_zeros() -> None:
    [chunk, *_] = made(Case("zeros", "<f8", 100))
    assert inner_chunks(forged(chunk[:32], 31, b"\x40")) == [None] * 3


@pytest.mark.slow
@settings(max_examples=examples(2500))
@given(cases())
def test_many_blocks(case: Case) -> None:
    for chunk in made(case):
        data, size = blosc2.decompress2(chunk), blocks.ChunkHeader.of(chunk).blocksize
        for n, piece in enumerate(inner_chunks(chunk)):
            COUNTED.append(decoded(piece, size) == data[n * size : (n + 1) * size])
    assert all(COUNTED), case


def bytes_of_shard(whole: bytes, nbytes: int, blocksize: int) -> bytes:
    """Decode a shard, of an array of bytes, with tensorstore."""
    import tensorstore

    blosc = {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "typesize": 1, "blocksize": 0}
    sharding = {
        "chunk_shape": [blocksize], "index_location": "end",
        "codecs": [{"name": "bytes"}, {"name": "blosc", "configuration": blosc}],
        "index_codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}
        ],
    }  # fmt: skip
    metadata = {
        "zarr_format": 3, "node_type": "array", "data_type": "uint8", "shape": [nbytes],
        "fill_value": 0, "chunk_key_encoding": {"name": "default"},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [nbytes]}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }  # fmt: skip
    store = tensorstore.KvStore.open("memory://").result()
    store["zarr.json"], store["c/0"] = json.dumps(metadata).encode(), whole
    found = tensorstore.open({"driver": "zarr3"}, kvstore=store).result()
    data: bytes = found.read().result().tobytes()
    return data


@pytest.mark.slow
@settings(max_examples=examples(500))
@given(cases())
def test_tensorstore_decodes_shards_to_what_blosc2_finds(case: Case) -> None:
    for chunk in made(case):
        header = blocks.ChunkHeader.of(chunk)
        if header.nbytes % header.blocksize == 0:  # as those of arrays, which are padded
            found = bytes_of_shard(shard(chunk), header.nbytes, header.blocksize)
            assert found == blosc2.decompress2(chunk), case
            TENSORED.append(header.count)


def forged(chunk: bytes, at: int, value: bytes) -> bytes:
    return chunk[:at] + value + chunk[at + len(value) :]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    chunk = draw(st.sampled_from(made(draw(cases()))))
    if len(chunk) <= 32:
        return chunk
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(32, len(chunk) - 1))
        chunk = forged(chunk, at, draw(st.binary(min_size=1, max_size=4)))[: len(chunk)]
    return chunk[: draw(st.integers(32, len(chunk)))] if draw(st.booleans()) else chunk


@settings(max_examples=thoroughness.examples(400))
@given(damaged())
def test_a_damaged_chunk_is_refused_or_stays_within_bounds(chunk: bytes) -> None:
    try:
        whole = shard(chunk)
    except SourceCorrupt as error:
        assert error.detail
    else:
        header = blocks.ChunkHeader.of(chunk)
        room = 64 + 8 * header.typesize
        assert len(whole) <= header.nbytes + header.count * room


def first_block(chunk: bytes) -> int:
    return int.from_bytes(chunk[32:36], "little")


GOOD: bytes = made(Case("half", "<f8", 1000, codec="lz4"))[0]
START = first_block(GOOD)
BAD: dict[str, Any] = {
    "cut off in the table": GOOD[:40],
    "cut off in a block": GOOD[: START + 2],
    "start in the header": forged(GOOD, 32, b"\x00\x00\x00\x00"),
    "start behind the end": forged(GOOD, 32, b"\xff\xff\xff\x7f"),
    "long stream": forged(GOOD, START, b"\xff\xff\xff\x7f"),
    "stream that is larger than its values": forged(GOOD, START, b"\xe9\x03\x00\x00"),
    "negative stream": forged(GOOD, START, b"\x00\x00\x00\x80"),
    "run without its mark": forged(GOOD, START, b"\xff\xff\xff\xff\x02"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_chunk_that_makes_no_sense_is_refused(bad: bytes) -> None:
    with pytest.raises(SourceCorrupt):
        shard(bad)


@pytest.mark.parametrize("bad", [b"", b"\x00\x01", b"\xff\xff\xff\xff\x02", b"\xff\xff\xff\x7f"])
def test_a_block_that_makes_no_sense_is_refused(bad: bytes) -> None:
    with pytest.raises(SourceCorrupt):
        Conversion.of(GOOD).inner(bad)
