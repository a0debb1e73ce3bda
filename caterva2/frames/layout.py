"""The fixed parts of a contiguous frame: header in front, index and trailer behind the chunks.

Both header and trailer are msgpack, so the msgpack library reads them and only the positions
of the fields that are patched later stand here as numbers.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from caterva2.errors import SourceCorrupt
from caterva2.limits import constants
from caterva2.model import CParams

HEADER_MIN = 87  # FRAME_HEADER_MINLEN
TRAILER_VERSION = 1
VLMETA_NAME = 31
"""BLOSC2_METALAYER_NAME_MAXLEN: bytes of the name of a vlmeta entry."""
TRAILER_TAIL = 23  # uint32 with its tag, then a 16-byte fingerprint with its type
HEADER_LENGTH_AT = 11
FRAME_LENGTH_AT = 16
TYPE_AT = 26
NBYTES_AT = 30
CBYTES_AT = 39
_CONTIGUOUS, _SPARSE = 0, 1
_TYPES = {_CONTIGUOUS: "contiguous", _SPARSE: "sparse"}
_PLUGIN, _REGISTERED = 6, 7
"""Stand for a codec outside of the library proper, whose number is elsewhere."""
THREADS_AT = (63, 66)
"""Positions of the number of threads of the writer and of the reader, two bytes each."""
MISSING = 0x84 << 56
"""Offset that marks a chunk which was never written (BLOSC2_SPECIAL_UNINIT)."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Parsed header of a contiguous frame; sizes in bytes."""

    length: int
    frame_length: int
    nbytes: int
    cbytes: int
    typesize: int
    blocksize: int
    chunksize: int
    has_vlmeta: bool
    cparams: CParams
    metalayers: dict[str, bytes]


def header_length(start: bytes) -> int:
    """Return the length of a frame's header from its first `HEADER_MIN` bytes."""
    if len(start) < HEADER_MIN or start[:10] != b"\x9e\xa8b2frame\x00":
        raise SourceCorrupt("not a contiguous Blosc2 frame")
    (length,) = struct.unpack_from(">i", start, HEADER_LENGTH_AT)
    if not HEADER_MIN <= length <= constants.FRAME_HEADER:
        raise SourceCorrupt(f"frame header of {length} bytes")
    return int(length)


def parse_header(data: bytes, chunk_bytes: int | None = None) -> FrameHeader:
    """Parse a frame's whole header.

    Parameters
    ----------
    data : bytes
    chunk_bytes : int, optional
        Bytes of the files that have the chunks of a sparse frame. Its header is returned as that of
        a contiguous frame with these between its header and its index.

    Raises
    ------
    SourceCorrupt
        If it is damaged, or describes a frame that is not served: a sparse frame where none is
        expected, chunks of variable length, sizes out of bounds.
    """
    fields = _unpack(data, "header")
    if not isinstance(fields, list) or len(fields) != 14:
        raise SourceCorrupt("frame header without its 14 fields")
    flags, filters, layers = fields[3], fields[12], fields[13]
    if (
        not isinstance(flags, bytes)
        or len(flags) != 4
        or not isinstance(filters, msgpack.ExtType)
        or len(filters.data) != 16
    ):
        raise SourceCorrupt("frame header with malformed flags")
    numbers = [fields[n] for n in (1, 2, 4, 5, 6, 7, 8)]
    if not all(isinstance(n, int) for n in numbers):
        raise SourceCorrupt("frame header with sizes that are not numbers")
    length, frame_length, nbytes, cbytes, typesize, blocksize, chunksize = numbers
    if nbytes == 0:
        chunksize = max(chunksize, 0)  # an empty byte string has -1
    expected = _CONTIGUOUS
    if chunk_bytes is not None:
        expected, frame_length, cbytes = _SPARSE, frame_length + chunk_bytes, chunk_bytes
    if flags[1] & 0x07 != expected or chunksize < 0 or (chunksize == 0 and nbytes):
        raise SourceCorrupt(
            f"only {_TYPES[expected]} frames with chunks of a fixed size are served"
        )
    if (
        length != len(data)
        or not 0 < typesize <= constants.ITEMSIZE
        or not 0 <= nbytes < 2**62
        or not 0 <= cbytes <= frame_length - length
        or not blocksize >= 0
        or not (blocksize <= chunksize or nbytes == 0)
        or not chunksize <= constants.CHUNK_BYTES
        or nbytes > chunksize * constants.CHUNK_COUNT
    ):
        raise SourceCorrupt("frame header with sizes out of bounds")
    return FrameHeader(
        length, frame_length, nbytes, cbytes, typesize, blocksize, chunksize,
        bool(fields[11]), _cparams(flags, filters.data), _layers(layers),
    )  # fmt: skip


@functools.lru_cache(256)  # most frames of a root have the same
def _cparams(flags: bytes, filters: bytes) -> CParams:
    codec, meta = flags[2] & 0x0F, 0
    if codec in (_PLUGIN, _REGISTERED):
        codec, meta = filters[6], filters[7]
    return CParams(
        codec=codec,
        codec_meta=meta,
        clevel=min(flags[2] >> 4, 9),
        filters=tuple(filters[:6]),
        filters_meta=tuple(filters[8:14]),
        splitmode=(flags[3] & 0x03) + 1,
    )


def _layers(part: Any) -> dict[str, bytes]:
    """Return the contents of a metalayer section, ``[size, {name: offset}, [content, ...]]``."""
    try:
        _, names, contents = part
        if not all(isinstance(item, bytes) for item in (*names, *contents)):
            raise TypeError("names and contents are bytes")
        return {name.decode(): item for name, item in zip(names, contents, strict=True)}
    except (ValueError, TypeError) as error:
        raise SourceCorrupt(f"malformed metalayers: {error}") from None


def trailer_length(tail: bytes, room: int) -> int:
    """Return the length of a frame's trailer from its last `TRAILER_TAIL` bytes."""
    if len(tail) != TRAILER_TAIL or tail[0] != 0xCE:
        raise SourceCorrupt("frame without a trailer")
    (length,) = struct.unpack_from(">I", tail, 1)
    if not TRAILER_TAIL <= length <= min(room, constants.FRAME_TRAILER):
        raise SourceCorrupt(f"frame trailer of {length} bytes")
    return int(length)


def parse_trailer(data: bytes) -> dict[str, bytes]:
    """Return the vlmeta of a frame's trailer: compressed contents by name, not yet decoded."""
    fields = _unpack(data, "trailer")
    if not isinstance(fields, list) or len(fields) != 4:
        raise SourceCorrupt("frame trailer without its 4 fields")
    return _layers(fields[1])


def trailer(vlmeta: Mapping[str, bytes]) -> bytes:
    """Return a frame's trailer with any number of vlmeta entries.

    Parameters
    ----------
    vlmeta : mapping
        Compressed contents by name, as `parse_trailer` returns them.

    Raises
    ------
    SourceCorrupt
        If a name is empty or too long.

    Notes
    -----
    The format is that of ``README_CFRAME_FORMAT.rst`` of c-blosc2: an array of the trailer's
    version, the metalayers (size, offsets by name, contents), the trailer's length, and a
    fingerprint, which is not used.
    """
    body = struct.pack(">BB", 0x94, TRAILER_VERSION) + _section(vlmeta, 2, 3)
    return body + struct.pack(">BIH16x", 0xCE, len(body) + TRAILER_TAIL, 0xD800)


def with_metalayers(header: bytes, layers: Mapping[str, bytes]) -> bytes:
    """Return a frame's header with more metalayers behind its own.

    Raises
    ------
    SourceCorrupt
        If a name is empty or too long.
    """
    own = _layers(_unpack(header, "header")[-1])
    made = bytearray(header[:HEADER_MIN] + _section({**own, **layers}, HEADER_MIN, 4))
    struct.pack_into(">i", made, HEADER_LENGTH_AT, len(made))
    return bytes(made)


def _section(layers: Mapping[str, bytes], start: int, more: int) -> bytes:
    """Return a section of metalayers at an offset of a header or trailer.

    Its size is said to be ``more`` bytes than that of the map of offsets.
    """
    names = [name.encode() for name in layers]
    for name in names:
        if not 0 < len(name) <= VLMETA_NAME:
            raise SourceCorrupt(
                f"a name of metadata has {len(name)} bytes, it takes 1 to {VLMETA_NAME}"
            )
    size = 3 + sum(len(name) + 6 for name in names)  # of the map of offsets
    offset = start + 4 + size + 3
    offsets, contents = bytearray(), bytearray()
    for name, content in zip(names, layers.values(), strict=True):
        offsets += bytes([0xA0 | len(name)]) + name + struct.pack(">Bi", 0xD2, offset)
        contents += struct.pack(">BI", 0xC6, len(content)) + content
        offset += 5 + len(content)
    return b"".join((
        struct.pack(">BBH", 0x93, 0xCD, more + size),
        struct.pack(">BH", 0xDE, len(names)), offsets,
        struct.pack(">BH", 0xDC, len(names)), contents,
    ))  # fmt: skip


def patched_header(header: bytes, frame_length: int, cbytes: int) -> bytes:
    """Return a header with the final length of the frame and of its chunks."""
    patched = bytearray(header)
    struct.pack_into(">Q", patched, FRAME_LENGTH_AT, frame_length)
    struct.pack_into(">q", patched, CBYTES_AT, cbytes)
    return bytes(patched)


def contiguous(header: bytes) -> bytes:
    """Return the header of a sparse frame as that of a contiguous one."""
    patched = bytearray(header)
    patched[TYPE_AT] = patched[TYPE_AT] & ~0x07 | _CONTIGUOUS
    return bytes(patched)


def with_nbytes(header: bytes, nbytes: int) -> bytes:
    """Return a header with the decompressed size of all chunks."""
    patched = bytearray(header)
    struct.pack_into(">q", patched, NBYTES_AT, nbytes)
    return bytes(patched)


def _unpack(data: bytes, what: str) -> Any:
    try:
        return msgpack.unpackb(
            data,
            raw=True,
            strict_map_key=False,
            max_map_len=constants.VLMETA_ITEMS,
            max_array_len=constants.VLMETA_ITEMS,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise SourceCorrupt(f"frame {what} can't be read: {error}") from None
