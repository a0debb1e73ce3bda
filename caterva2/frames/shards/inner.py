"""Stored blocks of a Blosc2 chunk as chunks of Blosc 1, each of one block."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import Literal

import blosc2

from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.frames import proof
from caterva2.frames.blocks import ChunkHeader
from caterva2.frames.shards import streams

PLAIN, PACKED = 16, 20
"""Bytes in front of the values, or of the streams with the start of the only block."""
_FIELDS = struct.Struct("<BBBBiii")
_PACKED = struct.Struct("<BBBBiiii")
_SIZE = struct.Struct("<i")
_FORMAT = 2  # BLOSC_VERSION_FORMAT
_MEMCPYED, _DONT_SPLIT = 0x02, 0x10
_FILTER_FLAGS = {(): 0x00, (1,): 0x01, (2,): 0x04}
"""Flags of Blosc 1 for no filter, shuffle and bitshuffle."""
_IDENTITIES = frozenset({0, 4, 36})
"""Filters that decoding leaves out: none, and those that cut off bits."""
_ZEROS = frozenset({1, 4})
"""Special kinds that read as zeros: zeros, and memory that was never written."""
_MAX_SPLITS = 16
_LEAST_SPLIT = 128
"""Items of a block from which on Blosc 1 splits it into streams."""
Way = Literal["zeros", "repeated", "plain", "copied", "decoded", "whole"]
"""How a block is converted: nothing of it is needed; one value is repeated; its values are stored
as they are; its streams are copied; it has to be decoded, alone or with its whole chunk."""


@dataclass(frozen=True)
class Conversion:
    """The way in which all blocks of a chunk are converted.

    Parameters
    ----------
    start : bytes
        The header of the chunk, which passed the gate.
    header : ChunkHeader
    """

    start: bytes
    header: ChunkHeader

    @classmethod
    def of(cls, chunk: bytes | memoryview) -> Conversion:
        """Return the conversion of a chunk that passed the gate; its header is enough."""
        start = bytes(chunk[: chunks.HEADER])
        return cls(start, ChunkHeader.of(start))

    @functools.cached_property
    def way(self) -> Way:
        special = self.header.flags2 >> 4 & 0x7
        if special:
            return "zeros" if special in _ZEROS else "repeated"
        if not self.header.is_divisible:
            return "whole"
        if self.header.is_plain:
            return "plain"
        return "copied" if self._is_copied else "decoded"

    @property
    def codec(self) -> int:
        """The format of the streams."""
        return self.header.flags >> 5

    @functools.cached_property
    def stream_bytes(self) -> int:
        """Decompressed bytes of a stream."""
        return self.header.blocksize // self.header.streams

    @functools.cached_property
    def _filters(self) -> tuple[int, ...]:
        return tuple(code for code in self.header.filters if code not in _IDENTITIES)

    @property
    def _is_copied(self) -> bool:
        """Whether Blosc 1 decodes the streams of a block to the bytes that Blosc2 makes of them."""
        header, typesize = self.header, self.header.typesize
        if self._filters not in _FILTER_FLAGS or header.blocksize % typesize:
            return False
        metas = zip(header.filters, self.start[24:30], strict=True)
        if any(code in (1, 2) and meta not in (0, typesize) for code, meta in metas):
            return False
        items = header.blocksize // typesize
        if self._filters == (2,) and items % 8:
            return False
        return header.streams == 1 or (items >= _LEAST_SPLIT and typesize <= _MAX_SPLITS)

    def inner(self, block: bytes | memoryview, n: int = 0) -> bytes | None:
        """Convert a block of a chunk that can be divided; None for a block of zeros.

        Parameters
        ----------
        block : bytes-like
            Its stored bytes; more may follow.
        n : int
            Number of its chunk, for errors.

        Raises
        ------
        SourceCorrupt
            If it is damaged.
        """
        if self.way == "plain":
            return self.values(block[: self.header.blocksize])
        if self.way == "decoded":
            return self.values(self._decoded(block, n))
        return self._copied(block)

    def values(self, data: bytes | memoryview) -> bytes:
        """Return a chunk of Blosc 1 that has its values as they are."""
        size = self.header.blocksize
        if len(data) != size:
            raise SourceCorrupt(f"a block has {len(data)} bytes, {size} expected")
        return b"".join((self._plain_header, data))

    @functools.cached_property
    def _plain_header(self) -> bytes:
        size, typesize = self.header.blocksize, self.header.typesize
        return _FIELDS.pack(_FORMAT, 1, _MEMCPYED, typesize, size, size, size + PLAIN)

    @functools.cached_property
    def _flags(self) -> int:
        return self.codec << 5 | _FILTER_FLAGS[self._filters] | self.header.flags & _DONT_SPLIT

    def _copied(self, block: bytes | memoryview) -> bytes | None:
        """Copy the streams of a block as they are, but for those that repeat one byte."""
        pieces: list[bytes | memoryview] = [b""]
        begin = at = 0  # of what is copied as it is, and of a stream
        most, empty = self.stream_bytes, True
        for _ in range(self.header.streams):
            if at + _SIZE.size > len(block):
                raise SourceCorrupt("a block is cut off")
            (size,) = _SIZE.unpack_from(block, at)
            start = at + _SIZE.size
            empty = empty and not size
            if size > 0:
                if size > min(most, len(block) - start):
                    raise SourceCorrupt(f"a stream of {size} bytes does not fit its block")
                at = start + size
                continue
            if size and (size < -255 or start >= len(block) or not block[start] & 1):
                raise SourceCorrupt("a stream of a block has no size")
            stream = streams.run(self.codec, most, -size)
            pieces += (block[begin:at], _SIZE.pack(len(stream)), stream)
            begin = at = start + bool(size)
        if empty:
            return None
        pieces.append(block[begin:at])
        size, typesize = self.header.blocksize, self.header.typesize
        cbytes = PACKED + sum(map(len, pieces))
        pieces[0] = _PACKED.pack(_FORMAT, 1, self._flags, typesize, size, size, cbytes, PACKED)
        return b"".join(pieces)

    def _decoded(self, block: bytes | memoryview, n: int) -> bytes:
        """Decode a block on its own."""
        made = bytearray(self.start)
        made += _SIZE.pack(chunks.HEADER + _SIZE.size)
        made += block
        _SIZE.pack_into(made, 4, self.header.blocksize)
        _SIZE.pack_into(made, 12, len(made))
        return decoded(bytes(made), self.header.blocksize, n)

    def repeated(self, value: bytes) -> bytes | None:
        """Convert a block of a chunk that has one value everywhere; None if that is zero."""
        if not any(value):
            return None
        return repeated(value, self.header.typesize, self.header.blocksize)


def decoded(chunk: bytes, nbytes: int, n: int = 0) -> bytes:
    """Decode a chunk whose header passed the gate.

    Raises
    ------
    SourceCorrupt
        If it can't be decoded; ``info`` has its number ``n``.
    """
    try:
        data: bytes = blosc2.decompress2(chunk, nthreads=1)
    except proof.DECODING as error:
        raise proof.undecodable(n, error) from None
    if len(data) != nbytes:
        raise SourceCorrupt(f"chunk {n} has {len(data)} bytes, {nbytes} expected")
    return data


def repeated(value: bytes, typesize: int, nbytes: int) -> bytes:
    """Return a chunk of Blosc 1 that has one block, in which a value is repeated."""
    if nbytes < len(value) + streams.LEAST:
        data = (value * -(-nbytes // len(value)))[:nbytes]
        header = _FIELDS.pack(_FORMAT, 1, _MEMCPYED, typesize, nbytes, nbytes, nbytes + PLAIN)
        return header + data
    body = streams.lz4_repeated(value, nbytes)
    flags, cbytes = streams.LZ4_FORMAT << 5 | _DONT_SPLIT, PACKED + _SIZE.size + len(body)
    start = _PACKED.pack(_FORMAT, 1, flags, typesize, nbytes, nbytes, cbytes, PACKED)
    return b"".join((start, _SIZE.pack(len(body)), body))
