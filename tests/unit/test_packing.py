"""Values as raw chunks of blocks, and raw chunks as values"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import samples

from caterva2.errors import SourceCorrupt
from caterva2.frames import packing, proof

RECORD = np.dtype([("a", "<i2"), ("b", "S3"), ("c", "<M8[ns]")])


def values_of(shape: tuple[int, ...], dtype: Any) -> Any:
    size = int(np.prod(shape, initial=1)) * np.dtype(dtype).itemsize
    return (np.arange(size) % 7 % 2).astype(np.uint8).view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", ["<f8", "?", "<M8[s]", "<U3", "S300", "<c16", RECORD], ids=str)
@pytest.mark.parametrize(
    ("shape", "chunks", "blocks"),
    [
        ((), (), ()),
        ((10,), (4,), (2,)),
        ((7, 9), (4, 6), (2, 3)),  # chunks that the border cuts off
        ((8, 12), (4, 6), (3, 4)),  # blocks that are padded
        ((3, 4, 5), (2, 4, 3), (1, 2, 2)),
    ],
)  # fmt: skip
def test_unpacked_values_are_those_of_the_array(
    shape: Any, chunks: Any, blocks: Any, dtype: Any
) -> None:
    values = values_of(shape, dtype)
    frame = samples.array_frame(values, chunks=chunks, blocks=blocks)
    info, raw = samples.describe(frame), samples.raw_chunks(frame)
    around = np.zeros((2, *(n + 1 for n in shape)), values.dtype)
    out = around[(1, *(slice(n) for n in shape), ...)]
    packing.unpack(info, raw, out)
    assert (out == values).all()
    assert (around[0] == np.zeros((), values.dtype)).all()
    if shape == chunks:
        assert samples.raw_chunks(frame)[0] == packing.pack(values, blocks, info.cparams)


@pytest.mark.parametrize(
    ("shape", "chunks", "blocks"),
    [
        ((4, 6), (4, 6), (2, 6)),
        ((4, 6), (4, 6), (1, 3)),
        ((4, 6), (4, 6), (2, 3)),
        ((3, 4, 6), (3, 4, 6), (1, 2, 6)),
        ((3, 4, 6), (3, 4, 6), (2, 4, 6)),
        ((4, 1), (2, 2), (1, 2)),  # as many items as a chunk, of two chunks
        ((2, 6), (4, 6), (1, 6)),
    ],
)
def test_chunks_of_whole_rows_and_others_are_decoded_into_an_array(
    shape: Any, chunks: Any, blocks: Any
) -> None:
    values = np.arange(np.prod(shape), dtype="<i4").reshape(shape)
    frame = samples.array_frame(values, chunks=chunks, blocks=blocks)
    out = np.full(shape, -1, "<i4")
    packing.unpack(samples.describe(frame), samples.raw_chunks(frame), out)
    assert (out == values).all()


def test_chunk_that_does_not_decode_is_an_error() -> None:
    frame = samples.array_frame(np.random.default_rng(0).normal(size=(4, 4)), chunks=(2, 4))
    info, raw = samples.describe(frame), samples.raw_chunks(frame)
    out = np.empty((4, 4))
    for damaged in (raw[:1], [raw[0], raw[1][:40]], [raw[0], b"\xff" * len(raw[1])]):
        with pytest.raises(proof.DECODING):
            packing.unpack(info, damaged, out)
    with pytest.raises(SourceCorrupt):
        proof.check([0, 1], [raw[0], b"\xff" * len(raw[1])], info.chunksize)


@pytest.mark.parametrize("claim", [-8, 64])
def test_chunk_of_another_size_is_not_decoded(claim: int) -> None:
    frame = samples.array_frame(np.random.default_rng(0).normal(size=(4, 4)), chunks=(2, 4))
    info, [first, second] = samples.describe(frame), samples.raw_chunks(frame)
    size = (info.chunksize + claim).to_bytes(4, "little")
    forged = second[:4] + size + second[8:]
    with pytest.raises(ValueError, match="its header says"):
        packing.unpack(info, [first, forged], np.empty((4, 4)))
    with pytest.raises(ValueError, match="its header says"):
        packing.decoded(info, [first, forged])
    if claim > 0:
        with pytest.raises(SourceCorrupt, match="its header says"):
            proof.check([0, 1], [first, forged], info.chunksize)
