"""The gate for raw chunks: validation of a chunk's header before anything relies on it.

32 bytes can claim 2 GiB, an unknown codec byte can start a process, and a chunk whose sizes
differ from its array's makes the decoder write where it must not.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from caterva2.errors import CodecNotAllowed, SourceCorrupt
from caterva2.model import CParams, Kind

HEADER = 32
"""Bytes of an extended chunk header (BLOSC_EXTENDED_HEADER_LENGTH)."""
MOST_OVERHEAD = 64 * 1024
"""Bytes by which a chunk may be longer than its data; the library itself keeps to 32."""

_FIELDS = struct.Struct("<BBBBiii6sBB6sBB")
_STABLE_FORMAT = 5  # BLOSC2_VERSION_FORMAT_STABLE
_EXTENDED = 0x01 | 0x04  # byte-shuffle and bit-shuffle at once mark the extended header
_CODECS = {0: "blosclz", 1: "lz4", 3: "zlib", 4: "zstd"}
CODECS = frozenset({0, 1, 2, 4, 5})
"""blosclz, lz4, lz4hc, zlib, zstd; others may load code."""
FILTERS = frozenset({0, 1, 2, 3, 4, 35, 36})
"""none, shuffle, bitshuffle, delta, trunc_prec, bytedelta, int_trunc"""
PLUGIN_CODECS = {
    32: "NDLZ", 33: "ZFP_ACC", 34: "ZFP_PREC", 35: "ZFP_RATE", 36: "OPENHTJ2K", 37: "GROK",
    38: "OPENZL",
}  # fmt: skip
PLUGIN_FILTERS = {32: "NDCELL", 33: "NDMEAN"}
SHIPPED_CODECS = frozenset({32, 33, 34, 35})
"""Plugins that come with the library; it looks for others in packages that may be installed."""
_PLUGIN = 6
"""The codec of a chunk whose number is elsewhere in its header."""
_LAZY, _USE_DICT, _BIG_ENDIAN, _INSTRUMENTED = 0x08, 0x01, 0x02, 0x80
_ZERO, _NAN, _VALUE, _UNINIT = 1, 2, 3, 4
SPECIAL_KINDS = (_ZERO, _NAN)
"""Chunks that an offset alone can stand for."""


@dataclass(frozen=True, slots=True)
class ChunkShape:
    """Sizes in bytes that the header of each chunk of a dataset must have.

    ``typesize`` is 1 where Blosc2 can't write it into the one byte that the header has.
    ``blocksize`` is 0 for byte strings, whose chunks may each have their own.
    """

    typesize: int
    blocksize: int

    @classmethod
    def of(cls, kind: Kind, typesize: int, blocksize: int) -> ChunkShape:
        return cls(typesize if typesize <= 255 else 1, blocksize if kind == "array" else 0)


def check(chunk: bytes | memoryview, shape: ChunkShape, nbytes: int) -> None:
    """Check a raw chunk.

    Parameters
    ----------
    chunk : bytes-like
        The whole chunk, header and data.
    shape : ChunkShape
        Sizes of the chunk's dataset.
    nbytes : int
        Decompressed size that this chunk must have.

    Raises
    ------
    SourceCorrupt
        If it is not a chunk of this dataset.
    CodecNotAllowed
        If it needs a codec or a filter outside of the allow-list.
    """
    check_header(chunk, shape, nbytes, len(chunk))


def check_header(header: bytes | memoryview, shape: ChunkShape, nbytes: int, stored: int) -> None:
    """Check the header of a chunk of ``stored`` bytes, as `check` does."""
    if len(header) < HEADER:
        raise SourceCorrupt(f"a chunk of {len(header)} bytes has no header")
    (version, _, flags, typesize, size, blocksize, cbytes, filters, plugin, _, _, more, flags2) = (
        _FIELDS.unpack_from(header)
    )
    if version != _STABLE_FORMAT or flags & _EXTENDED != _EXTENDED or more:
        raise SourceCorrupt(f"chunk format {version} with flags {flags:#x} is not known")
    special = (flags2 >> 4) & 0x7
    if (
        size != nbytes
        or typesize != shape.typesize
        or cbytes != stored
        or (blocksize != shape.blocksize if shape.blocksize else not 0 < blocksize <= nbytes)
    ):
        raise SourceCorrupt(
            f"chunk header says nbytes={size} typesize={typesize} blocksize={blocksize} "
            f"cbytes={cbytes}, the dataset nbytes={nbytes} typesize={shape.typesize} "
            f"blocksize={shape.blocksize} cbytes={stored}"
        )
    if flags2 & (_LAZY | _BIG_ENDIAN | _INSTRUMENTED) or special not in (0, _ZERO, _NAN, _VALUE):
        raise SourceCorrupt(f"chunk flags {flags2:#x} are not allowed")
    if special and cbytes != HEADER + (typesize if special == _VALUE else 0):
        raise SourceCorrupt("a chunk of one repeated value has the wrong size")
    if flags >> 5 not in _CODECS:
        number = plugin if flags >> 5 == _PLUGIN else flags >> 5
        raise CodecNotAllowed(f"{_named('codec', number, PLUGIN_CODECS)} not allowed in a chunk")
    if not FILTERS.issuperset(filters):
        raise CodecNotAllowed(f"filters {list(filters)} of a chunk are not allowed")


_HEADERS = np.dtype(
    {
        "names": ["version", "flags", "typesize", "nbytes", "blocksize", "cbytes", "filters",
                  "more", "flags2"],
        "formats": ["u1", "u1", "u1", "<i4", "<i4", "<i4", ("u1", 6), "u1", "u1"],
        "offsets": [0, 2, 3, 4, 8, 12, 16, 30, 31],
        "itemsize": HEADER,
    }
)  # fmt: skip
_ALLOWED_FILTERS = np.isin(np.arange(256), list(FILTERS))
_ALLOWED_CODECS = np.isin(np.arange(256) >> 5, list(_CODECS))


def check_all(
    data: memoryview,
    starts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    shape: ChunkShape,
    nbytes: npt.NDArray[np.int64],
) -> None:
    """Check many chunks in one buffer.

    A chunk takes a hundredth of the time of `check`. The error is about the first bad one.

    Parameters
    ----------
    data : memoryview
    starts, sizes : ndarray of int64
        Place of each chunk.
    shape : ChunkShape
    nbytes : ndarray of int64
        Decompressed size that each must have.
    """
    good = sizes >= HEADER
    if good.all():
        rows = np.frombuffer(data, np.uint8)[starts[:, None] + np.arange(HEADER)]
        found = rows.view(_HEADERS)[:, 0]
        block = found["blocksize"]
        good = (
            (found["version"] == _STABLE_FORMAT)
            & (found["flags"] & _EXTENDED == _EXTENDED)
            & (found["more"] == 0)
            & (found["nbytes"] == nbytes)
            & (found["typesize"] == shape.typesize)
            & (found["cbytes"] == sizes)
            & ((block == shape.blocksize) if shape.blocksize else (block > 0) & (block <= nbytes))
            & (found["flags2"] == 0)
            & _ALLOWED_CODECS[found["flags"]]
            & _ALLOWED_FILTERS[found["filters"]].all(axis=1)
        )
    for n in np.flatnonzero(~good).tolist():  # rare ones too, such as chunks of one value
        start = int(starts[n])
        check(data[start : start + int(sizes[n])], shape, int(nbytes[n]))


def check_cparams(cparams: CParams) -> None:
    """Check the codec and filters of a description.

    Raises
    ------
    CodecNotAllowed
        If it names a codec or a filter outside of the allow-lists.
    """
    if cparams.codec in CODECS and FILTERS.issuperset(cparams.filters):
        return
    foreign = [_named("codec", cparams.codec, PLUGIN_CODECS)] if cparams.codec not in CODECS else []
    foreign += [_named("filter", n, PLUGIN_FILTERS) for n in cparams.filters if n not in FILTERS]
    raise CodecNotAllowed(f"{' and '.join(foreign)} not allowed: save it with one of Blosc2 itself")


def needs_plugins(cparams: CParams) -> bool:
    """Return whether chunks can be decoded only with plugins that come with the library."""
    codecs, filters = CODECS | SHIPPED_CODECS, FILTERS | PLUGIN_FILTERS.keys()
    known = cparams.codec in codecs and filters.issuperset(cparams.filters)
    return known and not (cparams.codec in CODECS and FILTERS.issuperset(cparams.filters))


def _named(what: str, number: int, names: dict[int, str]) -> str:
    name = names.get(number)
    return f"{what} {number} ({name}) is" if name else f"{what} {number} is"


def stored_size(header: bytes | memoryview) -> int:
    """Return the size of a chunk in bytes by its header, which may be wrong."""
    size: int = struct.unpack_from("<i", header, 12)[0]
    return size


def nbytes_of(header: bytes | memoryview) -> int:
    """Return the decompressed size of a chunk in bytes by its header, which may be wrong."""
    return int.from_bytes(header[4:8], "little", signed=True)


def is_uninit(chunk: bytes | memoryview) -> bool:
    """Return whether a chunk stands for memory that was never written."""
    return len(chunk) >= HEADER and (chunk[31] >> 4) & 0x7 == _UNINIT


def special(kind: int, shape: ChunkShape, nbytes: int) -> bytes:
    """Return the raw chunk that stands for zeros or NaNs, as the Blosc2 library writes it."""
    blocksize = shape.blocksize or nbytes
    return _FIELDS.pack(
        _STABLE_FORMAT, 1, _EXTENDED, shape.typesize, nbytes, blocksize, HEADER,
        bytes(6), 0, 0, bytes(6), 0, kind << 4,
    )  # fmt: skip


def special_offset(chunk: bytes | memoryview) -> int:
    """Return the index offset that stands for a chunk of zeros or NaNs; 0 for any other chunk.

    A frame on disk needs this form: the Blosc2 library can't open one whose first stored chunk
    is such a header alone.
    """
    kind = (chunk[31] >> 4) & 0x7
    return (0x80 | kind) << 56 if kind in (_ZERO, _NAN) else 0


def from_offset(offset: int, shape: ChunkShape, nbytes: int) -> bytes:
    """Return the chunk that a special offset of a frame's index stands for.

    Memory that was never written reads as zeros, not as its random content.
    """
    kind = (offset >> 56) & 0x7
    if kind not in (_ZERO, _NAN, _UNINIT):
        raise SourceCorrupt(f"special chunk kind {kind} in a frame's index is not known")
    return special(_ZERO if kind == _UNINIT else kind, shape, nbytes)
