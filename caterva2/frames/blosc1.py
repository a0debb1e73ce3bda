"""Chunks of Blosc 1, as Zarr and others store them, and the same blocks as a Blosc2 chunk.

Both formats are a header, a table with the start of each block, and the blocks. For the codecs and
filters that both have, the bytes of a block are the same, so a chunk of the one becomes a chunk of
the other by another header and other starts, without recompression.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import blosc2
import numpy as np

from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk as chunks

HEADER = 16
"""Bytes of the header (BLOSC_MIN_HEADER_LENGTH)."""
_FIELDS = struct.Struct("<BBBBiii")
_FORMAT = 2  # BLOSC_VERSION_FORMAT
_SHUFFLE, _MEMCPYED, _BITSHUFFLE, _RESERVED, _DONT_SPLIT = 0x01, 0x02, 0x04, 0x08, 0x10
_CODECS = {0: 0, 1: 1, 3: 4, 4: 5}
"""Codecs of Blosc2 by the formats of both: blosclz, lz4 (and lz4hc), zlib, zstd."""
_EXTENDED = 0x05
_STABLE = 5
_LAST_FILTER = 21  # of six, from byte 16 on
_MAX_SPLITS = 16
_LEAST_SPLIT = 128
"""Items of a block from which on Blosc 1 splits it into streams."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a chunk."""

    flags: int
    typesize: int
    nbytes: int
    blocksize: int
    cbytes: int

    @property
    def codec(self) -> int | None:
        """The codec's number in Blosc2, None if that has it not."""
        return _CODECS.get(self.flags >> 5)

    @property
    def filter(self) -> int:
        """The filter's number in Blosc2: none, shuffle or bitshuffle."""
        return 1 if self.flags & _SHUFFLE else 2 if self.flags & _BITSHUFFLE else 0

    @property
    def count(self) -> int:
        """Number of blocks."""
        return -(-self.nbytes // self.blocksize)

    @property
    def splits(self) -> int:
        """Streams of each block, except for a shorter last one."""
        alone = self.flags & _DONT_SPLIT or self.typesize > _MAX_SPLITS
        return 1 if alone or self.blocksize // self.typesize < _LEAST_SPLIT else self.typesize

    @property
    def is_known(self) -> bool:
        """Whether Blosc2 decodes blocks of this kind to the same bytes."""
        both = _SHUFFLE | _BITSHUFFLE
        if self.flags & _RESERVED or self.flags & both == both or self.codec is None:
            return False
        if self.blocksize % self.typesize and self.splits > 1:
            return False
        # Blosc 1 leaves a block alone whose items are not a multiple of 8, Blosc2 all but a few.
        sizes = {min(self.blocksize, self.nbytes), self.nbytes % self.blocksize}
        return not self.flags & _BITSHUFFLE or all(
            size // self.typesize % 8 == 0 and size % self.typesize == 0 for size in sizes
        )


def header(chunk: bytes | memoryview) -> Header:
    """Return the header of a chunk, of which the beginning is enough.

    Raises
    ------
    SourceCorrupt
        If it makes no sense.
    """
    if len(chunk) < HEADER:
        raise SourceCorrupt(f"a Blosc chunk of {len(chunk)} bytes has no header")
    version, _, flags, typesize, nbytes, blocksize, cbytes = _FIELDS.unpack_from(chunk)
    if version != _FORMAT or not typesize or nbytes < 0 or cbytes < HEADER:
        raise SourceCorrupt(f"a Blosc chunk has the format {version} and claims {nbytes} bytes")
    if not 0 < blocksize <= max(nbytes, 1):
        raise SourceCorrupt(f"a Blosc chunk of {nbytes} bytes claims blocks of {blocksize}")
    return Header(flags, typesize, nbytes, blocksize, cbytes)


def check(chunk: bytes, nbytes: int) -> Header:
    """Return the header of a whole chunk that claims to have a decompressed size.

    Raises
    ------
    SourceCorrupt
        If it has another size, or is cut off.
    """
    found = header(chunk)
    if found.nbytes != nbytes or found.cbytes != len(chunk):
        raise SourceCorrupt(
            f"a Blosc chunk claims {found.cbytes} bytes for {found.nbytes}; it has {len(chunk)}, "
            f"for {nbytes}"
        )
    return found


def rewritten(chunk: bytes, nbytes: int) -> bytes | None:
    """Return a Blosc2 chunk with the stored blocks of a chunk of Blosc 1.

    None if Blosc2 has no such chunk, or would decode it differently.

    Parameters
    ----------
    chunk : bytes
    nbytes : int
        Decompressed size that it must have.

    Raises
    ------
    SourceCorrupt
        If it is damaged.
    """
    # Blosc2 reads chunks of this format too, but those of items over 16 bytes wrongly.
    found = check(chunk, nbytes)
    if not found.is_known or not nbytes:
        return None
    if found.flags & _MEMCPYED:
        if len(chunk) != HEADER + nbytes:
            raise SourceCorrupt(f"a Blosc chunk of {nbytes} plain bytes has {len(chunk)}")
        return _header(found, _MEMCPYED, 0) + chunk[HEADER:]
    starts = _starts(chunk, found)
    _check_streams(chunk, found, starts)
    table = (np.array(starts, "<i4") + (chunks.HEADER - HEADER)).astype("<i4").tobytes()
    body = HEADER + len(table)
    flags = 0 if found.splits > 1 else _DONT_SPLIT
    return b"".join((_header(found, flags, found.filter), table, chunk[body:]))


def _header(found: Header, flags: int, filters: int) -> bytes:
    made = bytearray(chunks.HEADER)
    cbytes = found.cbytes + chunks.HEADER - HEADER
    flags |= found.flags & 0xE0 | _EXTENDED
    _FIELDS.pack_into(
        made, 0, _STABLE, 1, flags, found.typesize, found.nbytes, found.blocksize, cbytes
    )
    made[_LAST_FILTER] = filters
    return bytes(made)


def _starts(chunk: bytes, found: Header) -> list[int]:
    body = HEADER + 4 * found.count
    if body > len(chunk):
        raise SourceCorrupt("a Blosc chunk is too short for its table of blocks")
    starts = list(struct.unpack_from(f"<{found.count}i", chunk, HEADER))
    if min(starts) < body or max(starts) > len(chunk) - 4:
        raise SourceCorrupt("the blocks of a Blosc chunk lie outside of it")
    return starts


def _check_streams(chunk: bytes, found: Header, starts: list[int]) -> None:
    """Refuse streams without a size: in Blosc2 these stand for zeros, in Blosc 1 for damage."""
    short = found.nbytes % found.blocksize
    for n, at in enumerate(starts):
        last = short and n == found.count - 1
        for _ in range(1 if last else found.splits):
            (size,) = struct.unpack_from("<i", chunk, at) if at + 4 <= len(chunk) else (0,)
            at += 4 + size
            if size <= 0 or at > len(chunk):
                raise SourceCorrupt(f"block {n} of a Blosc chunk is damaged")


def decompress(chunk: bytes, nbytes: int) -> bytes | None:
    """Return the values of a chunk; None if Blosc2 can't decode it, or not to these.

    Parameters
    ----------
    chunk : bytes
    nbytes : int
        Decompressed size that it must have.

    Raises
    ------
    SourceCorrupt
        If it is damaged.
    """
    made = rewritten(chunk, nbytes)
    if made is None:
        return None
    try:
        data: bytes = blosc2.decompress2(made, nthreads=1)
    except (RuntimeError, ValueError) as error:
        raise SourceCorrupt(f"a Blosc chunk can't be decompressed: {error}") from None
    if len(data) != nbytes:
        raise SourceCorrupt(f"a Blosc chunk has {len(data)} bytes, {nbytes} expected")
    return data
