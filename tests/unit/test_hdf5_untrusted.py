"""Chunks of an HDF5 file that are not what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blosc2
import h5py
import hdf5plugin
import numpy as np
import pytest
from hdf5reads import passes, read

from caterva2.errors import (
    CodecNotAllowed,
    SourceCorrupt,
)
from caterva2.hdf5.source import Hdf5Source
from caterva2.isolation.hdf5 import isolated_hdf5
from caterva2.names import DatasetPath


def forged(path: Path, frame: bytes, shape: tuple[int, ...] = (100,)) -> Hdf5Source:
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", shape, "<i8", chunks=shape, **hdf5plugin.Blosc2())
        made.id.write_direct_chunk((0,) * len(shape), frame)
    return Hdf5Source(path)


def frame_of(values: Any, **given: Any) -> bytes:
    array = blosc2.asarray(values, chunks=values.shape, contiguous=True, **given)
    return bytes(array.to_cframe())


def test_chunk_with_another_codec_is_neither_passed_nor_decoded(tmp_path: Path) -> None:
    frame = bytearray(frame_of(np.arange(100), cparams={"codec": blosc2.Codec.LZ4}))
    start = int.from_bytes(frame[12:15], "big")
    frame[start + 2] |= 0xE0
    source = forged(tmp_path / "x.h5", bytes(frame))
    with pytest.raises((CodecNotAllowed, SourceCorrupt)):
        read(source, "a.b2nd")
    source.close()


def test_chunk_that_has_to_be_converted_passes_the_gate_before_it_is_decoded(
    tmp_path: Path,
) -> None:
    frame = bytearray(frame_of(np.arange(100), cparams={"codec": blosc2.Codec.LZ4}))
    frame[int.from_bytes(frame[12:15], "big") + 2] |= 0xE0
    with h5py.File(tmp_path / "x.h5", "w") as file:
        packing = {**hdf5plugin.Blosc2(), "shuffle": True}
        made = file.create_dataset("a", (100,), "<i8", chunks=(100,), **packing)
        made.id.write_direct_chunk((0,), bytes(frame))
    source = Hdf5Source(tmp_path / "x.h5")
    assert not passes(source, "a.b2nd")
    with pytest.raises(CodecNotAllowed):
        read(source, "a.b2nd")
    source.close()


def test_chunk_that_the_publisher_refuses_is_explained_by_the_process_that_found_it(
    tmp_path: Path,
) -> None:
    frames = [bytearray(frame_of(np.arange(n, n + 100))) for n in range(3)]
    frames[1][int.from_bytes(frames[1][12:15], "big") + 2] |= 0xE0
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("a", (300,), "<i8", chunks=(100,), **hdf5plugin.Blosc2())
        for n, frame in enumerate(frames):
            made.id.write_direct_chunk((100 * n,), bytes(frame))
    source = isolated_hdf5(tmp_path / "x.h5")
    info = source.info(DatasetPath("a.b2nd"))
    runs = source.chunks(info.path, info.etag, [0, 2, 1])
    with pytest.raises(CodecNotAllowed, match=r"a\.b2nd: chunk 1: codec"):
        list(runs)
    assert next(source.chunks(info.path, info.etag, [0, 2])).ids == [0, 2]
    source.close()


@pytest.mark.parametrize("frame", [b"", b"garbage" * 30, frame_of(np.arange(100))[:-50]])
def test_chunk_that_is_no_frame_is_an_error(tmp_path: Path, frame: bytes) -> None:
    source = forged(tmp_path / "x.h5", frame or b"\0")
    with pytest.raises(SourceCorrupt, match=r"a\.b2nd"):
        read(source, "a.b2nd")
    source.close()


def test_frame_that_claims_more_than_its_chunk_is_refused(tmp_path: Path) -> None:
    source = forged(tmp_path / "x.h5", frame_of(np.zeros(10_000_000, "i8")))
    with pytest.raises(SourceCorrupt):
        read(source, "a.b2nd")
    source.close()


def test_chunk_with_blocks_of_another_shape_is_converted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("a", (8, 6), "<i8", chunks=(4, 6), **hdf5plugin.Blosc2())
        values = np.arange(48).reshape(8, 6)
        for start, blocks in ((0, (2, 3)), (4, (1, 6))):
            frame = frame_of(values[start : start + 4], blocks=blocks)
            made.id.write_direct_chunk((start, 0), frame)
    source = Hdf5Source(tmp_path / "x.h5")
    assert passes(source, "a.b2nd")
    np.testing.assert_array_equal(read(source, "a.b2nd"), values)
    source.close()
