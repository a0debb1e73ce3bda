"""Single blocks of a raw chunk: their stored bytes, and chunks made of only some blocks.

A chunk is its header, a table with the start of each block, and the blocks in any order, which
depends on the threads that compressed them. A block ends where the next one begins.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caterva2.errors import NotFound, SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.frames.raw import Cut
from caterva2.limits import constants

Read = Callable[[int, int], bytes | memoryview]
"""Returns ``size`` bytes of a chunk from ``offset`` on."""
Spans = list[tuple[int, int]]
_MEMCPYED, _DONT_SPLIT = 0x02, 0x10
_USE_DICT = 0x01
_DELTA = 3
_START = np.dtype("<i4")
_NO_FILTERS = bytes(6)
_SPAN = struct.Struct("<ii")
_LENGTH, _LENGTH_AT = struct.Struct("<i"), 12


@dataclass(frozen=True, slots=True)
class ChunkHeader:
    """ChunkHeader of a chunk that passed the gate, as far as it concerns blocks."""

    flags: int
    typesize: int
    nbytes: int
    blocksize: int
    cbytes: int
    filters: bytes
    flags2: int

    @classmethod
    def of(cls, chunk: bytes | memoryview) -> ChunkHeader:
        flags, typesize, nbytes, blocksize, cbytes, filters = struct.unpack_from(
            "<BBiii6s", chunk, 2
        )
        return cls(flags, typesize, nbytes, blocksize, cbytes, filters, chunk[31])

    @property
    def count(self) -> int:
        """Number of blocks."""
        return -(-self.nbytes // self.blocksize) if self.blocksize else 0

    @property
    def is_divisible(self) -> bool:
        """Whether each block can be decoded without the others.

        Not with the delta filter, for which all others refer to the first one, nor with a
        dictionary. A chunk of one repeated value has no blocks.
        """
        special = self.flags2 & 0x70
        alone = not special and not self.flags2 & _USE_DICT and _DELTA not in self.filters
        return alone and 0 < self.count <= constants.CHUNK_BLOCKS

    @property
    def is_plain(self) -> bool:
        """Whether the chunk holds its data without compression or filters."""
        return bool(self.flags & _MEMCPYED)

    @property
    def body(self) -> int:
        """Offset of the bytes of the blocks."""
        return chunks.HEADER + (0 if self.is_plain else _START.itemsize * self.count)

    def size_of(self, block: int) -> int:
        """Decompressed bytes of a block."""
        return min(self.blocksize, self.nbytes - block * self.blocksize)

    @property
    def streams(self) -> int:
        """Parts in which a block is compressed, except for a shorter last block."""
        return 1 if self.flags & _DONT_SPLIT else self.typesize


def needs_whole_chunks(filters: Sequence[int]) -> bool:
    """Return whether Blosc2 decodes a block correctly only together with its whole chunk."""
    return _DELTA in filters


def cut(start: bytes, read: Read, ids: Sequence[int]) -> Cut | None:
    """Extract some blocks of a chunk; None if it can't be divided.

    Parameters
    ----------
    start : bytes
        The chunk's header, which passed the gate.
    read : callable
        Reads the rest of it.
    ids : sequence of int
        Numbers of the blocks, in C order of the chunk's grid of blocks.

    Raises
    ------
    NotFound
        If a number is not one of the chunk's blocks.
    SourceCorrupt
        If its table of blocks makes no sense.
    """
    header = ChunkHeader.of(start)
    if not header.is_divisible:
        return None
    for n in ids:
        if not 0 <= n < header.count:
            raise NotFound(f"block {n} of {header.count} does not exist")
    found = spans(header, read, ids)
    sizes = tuple(stop - begin for begin, stop in found)
    pieces = [read(stop - begin, begin) for begin, stop in _merged(found)]
    return Cut(tuple(ids), sizes, b"".join((start, *pieces)))


def cut_out_of(chunk: bytes, ids: Sequence[int]) -> Cut:
    """Extract some blocks of a whole chunk that passed the gate."""
    found = cut(chunk[: chunks.HEADER], lambda size, offset: chunk[offset : offset + size], ids)
    return found or Cut((), (), chunk)


def spans(header: ChunkHeader, read: Read, ids: Sequence[int]) -> Spans:
    """Return the start and the end of some blocks in the chunk."""
    if header.cbytes < header.body + (header.nbytes if header.is_plain else 0):
        raise SourceCorrupt(f"a chunk of {header.cbytes} bytes is too short for its blocks")
    if header.is_plain:
        begins = [header.body + n * header.blocksize for n in ids]
        return [(at, at + header.size_of(n)) for n, at in zip(ids, begins, strict=True)]
    table = np.frombuffer(read(header.body - chunks.HEADER, chunks.HEADER), _START)
    edges = np.append(np.unique(table), header.cbytes).astype(np.int64)
    if edges[0] < header.body or (len(edges) > 1 and edges[-2] >= header.cbytes):
        raise SourceCorrupt("the blocks of a chunk lie outside of it")
    begins_at = table[np.asarray(ids, np.int64)].astype(np.int64)
    ends = edges[np.searchsorted(edges, begins_at, side="right")]
    return list(zip(begins_at.tolist(), ends.tolist(), strict=True))


def digest(chunk: bytes | memoryview) -> bytes:
    """Return a digest of a chunk that passed the gate, in 16 bytes.

    Chunks of one digest decode to the same values. It is of the header, the size of each block and
    the blocks in the order of their numbers, since threads may have stored them in any order; and
    of all bytes of a chunk that can't be divided.

    Returns
    -------
    bytes
        Empty if the table of blocks makes no sense.
    """
    view, header = memoryview(chunk), ChunkHeader.of(chunk)
    made = hashlib.blake2b(view[: chunks.HEADER], digest_size=16)
    if not header.is_divisible:
        made.update(view[chunks.HEADER :])
        return made.digest()
    try:
        found = spans(header, lambda size, at: view[at : at + size], range(header.count))
    except SourceCorrupt:
        return b""
    made.update(np.array([stop - begin for begin, stop in found], _START).tobytes())
    for begin, stop in _merged(found):
        made.update(view[begin:stop])
    return made.digest()


def _merged(places: Spans) -> Spans:
    """Join spans that are adjacent; the bytes and their order do not change."""
    merged: Spans = []
    for begin, stop in places:
        if merged and merged[-1][1] == begin:
            merged[-1] = merged[-1][0], stop
        else:
            merged.append((begin, stop))
    return merged


@dataclass(frozen=True, slots=True)
class Map:
    """Places of the blocks of a chunk, all of one size, to decode them one by one.

    ``begin`` is the beginning of a chunk that holds one of them, without its length.
    """

    begin: bytes
    spans: bytes

    @classmethod
    def of(cls, start: bytes, read: Read) -> Map | None:
        """Return the map of a chunk whose header passed the gate; None if it can't be divided.

        Raises
        ------
        SourceCorrupt
            If the chunk's table of blocks makes no sense.
        """
        header = ChunkHeader.of(start)
        if not header.is_divisible or header.nbytes % header.blocksize:
            return None
        found = np.array(spans(header, read, range(header.count)), "<i4")
        return cls(_begin_of_one(start, header), found.tobytes())

    def chunk(self, n: int, read_into: Callable[[memoryview, int], None]) -> bytearray:
        """Return a chunk of block ``n`` only.

        Parameters
        ----------
        n : int
            Number of the block.
        read_into : callable
            Fills a buffer with the bytes of the whole chunk from an offset on.
        """
        start, stop = _SPAN.unpack_from(self.spans, n * _SPAN.size)
        made = bytearray(len(self.begin) + stop - start)
        made[: len(self.begin)] = self.begin
        _LENGTH.pack_into(made, _LENGTH_AT, len(made))
        read_into(memoryview(made)[len(self.begin) :], start)
        return made


def _begin_of_one(start: bytes, header: ChunkHeader) -> bytes:
    """Return what stands in front of a block that is a chunk of its own, without its length."""
    begin = bytearray(start)
    struct.pack_into("<i", begin, 4, header.blocksize)
    return bytes(begin if header.is_plain else begin + struct.pack("<i", chunks.HEADER + 4))


def single(start: bytes, block: bytes | memoryview) -> bytes:
    """Return a chunk of nothing but one whole block.

    Parameters
    ----------
    start : bytes
        The header of its chunk, which passed the gate.
    block : bytes-like
        The stored bytes of the block.
    """
    made = bytearray(_begin_of_one(start, ChunkHeader.of(start)))
    made += block
    _LENGTH.pack_into(made, _LENGTH_AT, len(made))
    return bytes(made)


def singles(chunk: bytes, ids: Sequence[int]) -> list[bytes]:
    """Return some blocks of a whole chunk that can be divided, each as a chunk of its own."""
    return apart(cut_out_of(chunk, ids))


def apart(found: Cut) -> list[bytes]:
    """Return extracted blocks, each as a chunk of its own; a chunk that was not cut has none."""
    ends = itertools.accumulate(found.sizes, initial=chunks.HEADER)
    start, view = found.payload[: chunks.HEADER], memoryview(found.payload)
    return [single(start, view[begin:end]) for begin, end in itertools.pairwise(ends)]


def check_sizes(start: bytes | memoryview, ids: Sequence[int], sizes: Sequence[int]) -> None:
    """Check the sizes of blocks that arrived with a header that passed the gate.

    Raises
    ------
    SourceCorrupt
        If the chunk can't be divided, or has no such blocks.
    """
    header = ChunkHeader.of(start)
    if not header.is_divisible:
        raise SourceCorrupt("blocks arrived of a chunk that can't be divided")
    for n, size in zip(ids, sizes, strict=True):
        if not 0 <= n < header.count:
            raise SourceCorrupt(f"block {n} arrived of a chunk of {header.count}")
        max_size = header.size_of(n) + (0 if header.is_plain else _START.itemsize * header.typesize)
        if not (size == max_size if header.is_plain else 0 < size <= max_size):
            raise SourceCorrupt(f"block {n} of {header.size_of(n)} bytes arrived as {size}")


def sparse_chunk(start: bytes, held: Mapping[int, bytes]) -> bytes:
    """Return a chunk in which some blocks have their values; the others decode to any values.

    Parameters
    ----------
    start : bytes
        The header of the whole chunk, which passed the gate.
    held : mapping
        The stored bytes of some blocks by their numbers.
    """
    header = ChunkHeader.of(start)
    patched = bytearray(start)
    pieces = list(held.values())
    if header.is_plain:  # a compressed block may also be stored uncompressed, behind its size
        patched[2] = header.flags & ~_MEMCPYED | _DONT_SPLIT
        patched[16:22] = _NO_FILTERS
        pieces = [struct.pack("<i", len(piece)) + piece for piece in pieces]
    # A stream of size 0 stands for zeros: all blocks that are not held share one run of them.
    zeros = bytes(_START.itemsize * (1 if header.is_plain else header.streams))
    body = chunks.HEADER + _START.itemsize * header.count
    table: npt.NDArray[np.int32] = np.full(header.count, body, _START)
    ends = np.cumsum([body + len(zeros), *map(len, pieces)])
    table[list(held)] = ends[:-1]
    struct.pack_into("<i", patched, 12, int(ends[-1]))
    return b"".join((patched, table.tobytes(), zeros, *pieces))
