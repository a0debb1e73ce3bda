"""Small datasets of every kind, as bytes, and what the modules under test make of them."""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Sequence
from typing import Any

import blosc2
import h5py
import hdf5plugin
import numpy as np

from caterva2.cache.replica import Replica
from caterva2.frames import compose, metadata
from caterva2.frames.reader import FrameReader
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath

ALLOWED_CODECS = [
    blosc2.Codec.BLOSCLZ,
    blosc2.Codec.LZ4,
    blosc2.Codec.LZ4HC,
    blosc2.Codec.ZLIB,
    blosc2.Codec.ZSTD,
]


def array_frame(values: Any, vlmeta: dict[str, Any] | None = None, **grid: Any) -> bytes:
    """The frame of an array."""
    # Contiguous: else Blosc2 makes a frame that it can't read back of items over 255 bytes.
    array = blosc2.asarray(np.asarray(values), contiguous=True, **grid)
    for name, value in (vlmeta or {}).items():
        array.schunk.vlmeta[name] = value
    return bytes(array.to_cframe())


def byte_frame(data: bytes, chunksize: int, **cparams: Any) -> bytes:
    """The frame of a byte string."""
    schunk = blosc2.SChunk(chunksize=chunksize, data=data, cparams={"typesize": 1} | cparams)
    return bytes(schunk.to_cframe())


def reader_of(content: bytes) -> FrameReader:
    """A reader of a frame that lies in a file."""
    fd = os.memfd_create("frame")
    os.write(fd, content)
    return FrameReader(fd)


def describe(content: bytes, path: str = "a.b2nd", etag: str = "v1") -> DatasetInfo:
    """A frame's description."""
    kind = "array" if path.endswith(".b2nd") else "frame"
    return reader_of(content).info(DatasetPath(path), kind, etag, 1.5)


def raw_chunks(content: bytes) -> list[bytes]:
    """All chunks of a frame, as they are stored."""
    reader = reader_of(content)
    found: list[bytes] = []
    for run in reader.runs(range(reader.nchunks)):
        ends = np.cumsum(run.sizes).tolist()
        found += [run.payload[end - size : end] for end, size in zip(ends, run.sizes, strict=True)]
    return found


def opened(frame: bytes | bytearray) -> Any:
    """The values of an array's frame."""
    return blosc2.ndarray_from_cframe(bytes(frame))[()]


def fill(replica: Replica, chunks: Sequence[bytes], ids: Sequence[int]) -> None:
    """Put some of a frame's chunks into a replica, as they would come from a publisher."""
    pieces = [chunks[n] for n in ids]
    for n, piece in zip(ids, pieces, strict=True):
        replica.check(n, piece)
    sizes, digests = [len(p) for p in pieces], [zlib.crc32(p) for p in pieces]
    replica.add(list(ids), sizes, digests, b"".join(pieces))


def hdf5_dataset(file: h5py.File, name: str, content: bytes) -> h5py.Dataset:
    """Put the frame of an array into an HDF5 file, with its chunks as they are."""
    info = describe(content)
    packing = hdf5plugin.Blosc2()
    made = file.create_dataset(name, info.shape, info.dtype, chunks=info.chunks, **packing)
    grid = [range(0, n, c) for n, c in zip(info.shape, info.chunks, strict=True)]
    parts = compose.array_template(info.chunks, info.chunks, info.blocks, info.dtype, info.cparams)
    for start, chunk in zip(itertools.product(*grid), raw_chunks(content), strict=True):
        made.id.write_direct_chunk(start, bytes(compose.frame(parts, [chunk])))
    for key, packed in info.vlmeta.items():
        made.attrs[key] = metadata.decode(packed)
    return made


SMALL = {
    "a.b2nd": array_frame(
        np.arange(40, dtype="i4"), {"a": 1, "b": "foo"}, chunks=(10,), blocks=(5,)
    ),
    "a.b2frame": byte_frame(b"Hello world!" * 10, 50),
}
"""A frame of each kind, by a path of it."""
