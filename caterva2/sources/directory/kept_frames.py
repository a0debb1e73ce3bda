"""Headers and trailers of frames as bytes that are kept: all that their descriptions need.

This module imports neither numpy nor Blosc2.
"""

from __future__ import annotations

import struct
import zlib

from caterva2.errors import SourceCorrupt
from caterva2.frames import layout
from caterva2.frames.raw import Edges
from caterva2.sources.versions import Version

MOST = 1024
"""Bytes of header and trailer of a frame that is kept; few have long metadata."""
_CRC = struct.Struct("<I")


def pack(version: Version, header: layout.FrameHeader | None) -> bytes:
    """Return a frame's header and trailer behind their CRC-32.

    There is nothing where a version's edges have not all of them, or they are too long.
    """
    if header is None or header.frame_length != version.size:
        return b""
    try:
        tail = version.tail[-layout.TRAILER_TAIL :]
        trailer = version.tail[-layout.trailer_length(tail, len(version.tail)) :]
    except SourceCorrupt:
        return b""
    both = version.head[: header.length] + trailer
    return _CRC.pack(zlib.crc32(both)) + both if len(both) <= MOST else b""


def is_whole(packed: bytes) -> bool:
    """Return whether kept bytes are as they were packed, or nothing."""
    whole = len(packed) > _CRC.size + layout.HEADER_MIN
    return not packed or (whole and zlib.crc32(packed[4:]) == _CRC.unpack_from(packed)[0])


def edges(packed: bytes, size: int) -> Edges:
    """Return the edges of a file of which header and trailer were kept."""
    at = _CRC.size + layout.header_length(packed[_CRC.size :])
    return Edges(size, packed[_CRC.size : at], packed[at:])
