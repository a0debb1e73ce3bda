"""Index of a shard: where its inner chunks are, and where the blocks are that they are made of."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import google_crc32c
import numpy as np
import numpy.typing as npt

from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.frames.shards import streams
from caterva2.frames.shards.inner import PACKED, PLAIN, Conversion

Table = npt.NDArray[np.uint32]
_ABSENT = 2**64 - 1
_CHECKSUM = 4
_SIZES = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ShardIndex:
    """Places of the inner chunks of a shard, and of the stored blocks that they are made of.

    Parameters
    ----------
    table : ndarray of uint32
        A row for each block: offset and size of the inner chunk in the shard, of which the size is
        0 for a block of zeros, and offset and size of the block in the stored chunk, of which the
        size is 0 where the whole chunk is needed.
    encoded : bytes
        The index as it stands at the end of the shard.
    data_bytes : int
        Bytes of all inner chunks, which the index follows.
    """

    table: Table
    encoded: bytes
    data_bytes: int

    @classmethod
    def of(cls, sizes: _SIZES, begins: _SIZES, stored: _SIZES) -> ShardIndex:
        """Return the index of inner chunks of some sizes, one behind the other."""
        offsets = np.cumsum(sizes) - sizes
        table = np.column_stack((offsets, sizes, begins, stored)).astype(np.uint32)
        entries = _encoded(table)
        encoded = entries + struct.pack("<I", google_crc32c.value(entries))
        return cls(table, encoded, int(sizes.sum()))

    @property
    def checksum(self) -> int:
        """CRC-32C at the end of the index, which tells shards apart."""
        found: int = struct.unpack("<I", self.encoded[-_CHECKSUM:])[0]
        return found

    @property
    def count(self) -> int:
        """Number of inner chunks."""
        return len(self.table)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.table.nbytes + len(self.encoded)

    @property
    def size(self) -> int:
        """Bytes of the shard."""
        return self.data_bytes + len(self.encoded)

    def touched(self, start: int, stop: int) -> list[int]:
        """Return the numbers of the blocks whose inner chunks lie in some bytes of the shard."""
        begins = self.table[:, 0]  # those of zeros begin where the next one does
        first = max(int(begins.searchsorted(start, "right")) - 1, 0)
        behind = int(begins.searchsorted(stop)) if start < self.data_bytes else first
        found = np.flatnonzero(self.table[first:behind, 1]) + first
        ids: list[int] = found.tolist()
        return ids

    def fits(self, start: int, stop: int, touched: Sequence[int]) -> bool:
        """Whether bytes begin and end where inner chunks do, or the index.

        Parameters
        ----------
        start, stop : int
        touched : sequence of int
            The blocks whose inner chunks lie in these bytes.
        """
        if not touched:
            return (start, stop) == (self.data_bytes, self.size)
        first, last = self.table[touched[0]], self.table[touched[-1]]
        return start == int(first[0]) and stop in (int(last[0]) + int(last[1]), self.size)


def index_of(chunk: bytes | memoryview) -> ShardIndex:
    """Return the index of the shard that a chunk becomes, without decoding anything.

    Parameters
    ----------
    chunk : bytes-like
        A whole chunk that passed the gate.

    Raises
    ------
    SourceCorrupt
        If it is damaged.
    """
    conversion = Conversion.of(chunk)
    header, way = conversion.header, conversion.way
    count = header.count
    begins, stored = np.zeros(count, np.int64), np.zeros(count, np.int64)
    if way == "zeros":
        sizes = np.zeros(count, np.int64)
    elif way == "repeated":
        sizes = np.full(count, len(conversion.repeated(repeated_value(chunk)) or b""), np.int64)
    elif way == "whole":
        sizes = np.full(count, PLAIN + header.blocksize, np.int64)
    else:
        begins, stored, sizes = _of_blocks(chunk, conversion)
    return ShardIndex.of(sizes, begins, stored)


def _encoded(table: Table) -> bytes:
    places = table[:, :2].astype("<u8")
    places[places[:, 1] == 0] = _ABSENT
    return places.tobytes()


def repeated_value(chunk: bytes | memoryview) -> bytes:
    """Return the item that a chunk of one repeated value, or of NaNs, has everywhere.

    Raises
    ------
    SourceCorrupt
        If it is of NaNs, and there is none of its size.
    """
    if len(chunk) > chunks.HEADER:
        return bytes(chunk[chunks.HEADER :])
    typesize = chunk[3]
    if typesize not in (4, 8):
        raise SourceCorrupt(f"a chunk of NaNs has items of {typesize} bytes")
    return np.array([np.nan], f"<f{typesize}").tobytes()


def _of_blocks(chunk: bytes | memoryview, conversion: Conversion) -> tuple[_SIZES, _SIZES, _SIZES]:
    """Return the places and sizes of the stored blocks, and the sizes of the inner chunks."""
    header = conversion.header
    if header.is_plain:
        if len(chunk) < header.body + header.nbytes:
            raise SourceCorrupt(f"a chunk of {len(chunk)} bytes is too short for its blocks")
        begins = header.body + np.arange(header.count, dtype=np.int64) * header.blocksize
        stored = np.full(header.count, header.blocksize, np.int64)
        return begins, stored, stored + PLAIN
    if len(chunk) < header.body:
        raise SourceCorrupt(f"a chunk of {len(chunk)} bytes is too short for its blocks")
    table = np.frombuffer(chunk, "<i4", header.count, chunks.HEADER).astype(np.int64)
    if len(table) and (table.min() < header.body or table.max() >= len(chunk)):
        raise SourceCorrupt("the blocks of a chunk lie outside of it")
    ends, sizes = _streams(np.frombuffer(chunk, np.uint8), table, conversion)
    if conversion.way == "decoded":
        sizes = np.full(header.count, PLAIN + header.blocksize, np.int64)
    return table, ends - table, sizes


def _streams(
    data: npt.NDArray[np.uint8], begins: _SIZES, conversion: Conversion
) -> tuple[_SIZES, _SIZES]:
    """Go through the streams of all blocks; return where these end, and the inner sizes."""
    most, run = conversion.stream_bytes, streams.run_size(conversion.codec, conversion.stream_bytes)
    at, sizes = begins.copy(), np.full(len(begins), PACKED, np.int64)
    zeros = np.ones(len(begins), bool)
    for _ in range(conversion.header.streams):
        if (at + 4 > len(data)).any():
            raise SourceCorrupt("a block of a chunk is cut off")
        size = data[at[:, None] + np.arange(4)].view("<i4")[:, 0].astype(np.int64)
        at += 4
        bad = (size > most) | (size < -255) | (at + np.where(size < 0, 1, size) > len(data))
        if bad.any():
            raise SourceCorrupt(f"block {int(np.argmax(bad))} of a chunk is damaged")
        marked = size < 0
        if marked.any() and not (data[at[marked]] & 1).all():
            raise SourceCorrupt("a stream of a block has no size")
        sizes += 4 + np.where(size > 0, size, run)
        at += np.where(marked, 1, np.maximum(size, 0))
        zeros &= size == 0
    return at, np.where(zeros, 0, sizes)
