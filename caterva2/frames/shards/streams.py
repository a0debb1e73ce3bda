"""Streams of one repeated byte or item, in the formats of the codecs.

Blosc2 stores a stream of one repeated byte as that byte; Blosc 1 knows no such thing, and needs a
stream that its decoder takes apart.
"""

from __future__ import annotations

import struct

LZ4_FORMAT, ZSTD_FORMAT = 1, 4
"""Numbers of formats in the header of a chunk."""
LEAST = 13
"""Bytes below which LZ4 has no match at all."""
_LAST = 5
"""Bytes at the end of an LZ4 block that are never part of a match."""
_MATCH = 4
_OFFSET = 2**16 - 1
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_BLOCK = 2**17
_SINGLE_SEGMENT = 0xA0
"""Frame header descriptor: the size in four bytes, and no window."""
_RLE = 1


def run_size(codec: int, count: int) -> int:
    """Return the bytes of `run`, which do not depend on the byte."""
    if codec == LZ4_FORMAT and count >= LEAST + 1:
        return 1 + 1 + 2 + _extra(count - 1 - _LAST - _MATCH) + 1 + _LAST
    if codec == ZSTD_FORMAT:
        return 9 + 4 * -(-count // _ZSTD_BLOCK)
    return count


def run(codec: int, count: int, byte: int) -> bytes:
    """Return the stream of a byte that is repeated ``count`` times.

    Where it has as many bytes as it decodes to, it is these bytes: Blosc 1 copies such a stream.

    Parameters
    ----------
    codec : int
        The format in the header of the chunk.
    count : int
    byte : int
    """
    if codec == LZ4_FORMAT and count >= LEAST + 1:
        return lz4_repeated(bytes([byte]), count)
    if codec == ZSTD_FORMAT:
        return _zstd_run(count, byte)
    return bytes([byte]) * count


def _extra(rest: int) -> int:
    """Return the number of bytes behind a token that has no room for a length."""
    return 0 if rest < 15 else 1 + (rest - 15) // 255


def _length(rest: int) -> bytes:
    return b"" if rest < 15 else b"\xff" * ((rest - 15) // 255) + bytes([(rest - 15) % 255])


def lz4_repeated(item: bytes, count: int) -> bytes:
    """Return an LZ4 block of ``count`` bytes: an item that is repeated, the last one maybe cut.

    Parameters
    ----------
    item : bytes
        At most 65535.
    count : int
        At least 13 more than the item has.
    """
    size = len(item)
    if not 0 < size <= _OFFSET or count < size + LEAST:
        raise ValueError(f"{count} bytes of an item of {size} are no match of LZ4")
    rest = count - size - _LAST - _MATCH
    first = bytes([min(size, 15) << 4 | min(rest, 15)])
    at = (count - _LAST) % size
    last = (item * (_LAST // size + 2))[at : at + _LAST]
    offset = struct.pack("<H", size)
    return b"".join(
        (first, _length(size), item, offset, _length(rest), bytes([_LAST << 4]), last)
    )  # fmt: skip


def _zstd_run(count: int, byte: int) -> bytes:
    made = bytearray(_ZSTD_MAGIC)
    made.append(_SINGLE_SEGMENT)
    made += struct.pack("<I", count)
    while count > 0:
        part = min(count, _ZSTD_BLOCK)
        count -= part
        made += (part << 3 | _RLE << 1 | (count == 0)).to_bytes(3, "little")
        made.append(byte)
    return bytes(made)
