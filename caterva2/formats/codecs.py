"""Decoding of chunks by codecs of Zarr; the size of what they decode to is bounded.

Codecs of numcodecs are taken from lists by name: one of its others loads pickles.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from caterva2.arrays import dtypes
from caterva2.errors import BadMessage, CatervaError, SourceCorrupt
from caterva2.frames import blosc1

DType = np.dtype[Any]
Config = Mapping[str, Any]
Step = Callable[[bytes, int], bytes]
"""Decodes bytes to at most so many others."""
ROOM = 64 * 1024
"""Bytes by which the input of a filter may be larger than 16 times the values of its chunk."""
FILTERS = frozenset(
    {"astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle"}
)
CHECKSUMS = frozenset({"adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"})
_DTYPES = ("dtype", "astype", "encode_dtype", "decode_dtype")
_BLOCK = 128 * 1024
_ERRORS = (ValueError, TypeError, RuntimeError, KeyError, EOFError, OSError, ArithmeticError,
           zlib.error, lzma.LZMAError, struct.error, IndexError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How the values of one chunk are stored.

    ``steps`` come in the order in which they decode, ``order`` are the axes of the values in
    the order in which they are stored. ``is_blosc`` says whether the bytes of the values, as they
    are served, are one chunk of Blosc 1.
    """

    dtype: DType
    steps: tuple[Step, ...]
    order: tuple[int, ...]
    is_blosc: bool

    def decode(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return the values of a stored chunk.

        Raises
        ------
        SourceCorrupt
            If it is damaged, or has another size.
        """
        nbytes = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        try:
            for n, step in enumerate(self.steps):
                limit = nbytes if n == len(self.steps) - 1 else 16 * nbytes + ROOM
                data = step(data, limit)
        except CatervaError:
            raise
        except _ERRORS as error:
            raise SourceCorrupt(f"it can't be decoded: {error}") from None
        if len(data) != nbytes:
            raise SourceCorrupt(f"it has {len(data)} bytes, {nbytes} expected")
        stored = np.frombuffer(data, self.dtype).reshape([shape[axis] for axis in self.order])
        return stored.transpose(np.argsort(self.order)) if self.order else stored


def step(name: str, config: Config) -> Step:
    """Return the decoder of a codec between bytes and bytes.

    Parameters
    ----------
    name : str
        As numcodecs has it.
    config : mapping
        Its parameters.

    Raises
    ------
    SourceCorrupt
        If it is not known, or not installed.
    """
    if name in _OWN:
        return _OWN[name]
    if name not in FILTERS | CHECKSUMS:
        raise SourceCorrupt(f"it needs the codec {name[:40]!r}, which is not known")
    try:
        for key in _DTYPES:
            if config.get(key) is not None:
                dtypes.parse(config[key])
        codec = _numcodecs().get_codec({**config, "id": name})
    except (BadMessage, *_ERRORS) as error:
        raise SourceCorrupt(f"its codec {name} can't be used: {str(error)[:200]}") from None

    def decode(data: bytes, limit: int) -> bytes:
        found = np.ascontiguousarray(codec.decode(data)).tobytes()
        return _within(found, limit)

    return decode


def _numcodecs() -> Any:
    try:
        import numcodecs
        import numcodecs.registry
    except ImportError:
        hint = "pip install 'caterva2[zarr]'"
        raise SourceCorrupt(f"it needs a codec of numcodecs, which is missing: {hint}") from None
    return numcodecs


def _within(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise SourceCorrupt(f"it decodes to more than {limit} bytes")
    return data


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _decompressed(decompressor: _Decompressor, data: bytes, limit: int) -> bytes:
    found = _within(decompressor.decompress(data, limit + 1), limit)
    if not decompressor.eof:  # an empty rest may still be needed to see the end
        found += decompressor.decompress(getattr(decompressor, "unconsumed_tail", b""), 1)
    if not decompressor.eof or len(found) > limit:
        raise SourceCorrupt("it is cut off, or decodes to more than its chunk has")
    return found


def _zlib(data: bytes, limit: int) -> bytes:
    return _decompressed(zlib.decompressobj(wbits=47), data, limit)  # zlib's header or gzip's


def _bz2(data: bytes, limit: int) -> bytes:
    return _decompressed(bz2.BZ2Decompressor(), data, limit)


def _lzma(data: bytes, limit: int) -> bytes:
    return _decompressed(lzma.LZMADecompressor(lzma.FORMAT_AUTO, 2**28), data, limit)


def _blosc(data: bytes, limit: int) -> bytes:
    nbytes = blosc1.header(data).nbytes
    if nbytes > limit:
        raise SourceCorrupt(f"it decodes to {nbytes} bytes, more than {limit}")
    found = blosc1.decompress(data, nbytes)
    return _numcodecs().blosc.decompress(data) if found is None and nbytes else found or b""


def _lz4(data: bytes, limit: int) -> bytes:
    (nbytes,) = struct.unpack_from("<i", data)
    if not 0 <= nbytes <= limit:
        raise SourceCorrupt(f"it claims to decode to {nbytes} bytes, {limit} expected")
    return bytes(_numcodecs().LZ4().decode(data))


def _zstd(data: bytes, limit: int) -> bytes:
    if _zstd_bound(data) > limit + _BLOCK:
        raise SourceCorrupt(f"it may decode to more than {limit} bytes")
    return _within(bytes(_numcodecs().Zstd().decode(data)), limit)


def _zstd_bound(data: bytes) -> int:
    """Return bytes that a frame of zstd does not decode to more than, by its blocks' headers.

    It is at least the size that the frame claims, for which the decoder takes memory ahead.
    """
    if data[:4] != b"\x28\xb5\x2f\xfd":
        raise SourceCorrupt("it is no frame of zstd")
    if len(data) < 5:
        raise SourceCorrupt("it is a frame of zstd that is cut off")
    flags = data[4]
    single = flags >> 5 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    length = (single, 2, 4, 8)[flags >> 6]
    claimed = int.from_bytes(data[at : at + length], "little") + (256 if length == 2 else 0)
    at += length
    bound = 0
    while True:
        head = int.from_bytes(data[at : at + 3], "little")
        if at + 3 > len(data):
            raise SourceCorrupt("it is a frame of zstd that is cut off")
        kind, size = head >> 1 & 3, head >> 3
        bound += size if kind < 2 else _BLOCK  # as it is, one byte repeated, or compressed
        at += 3 + (1 if kind == 1 else size)
        if head & 1:
            return max(bound, claimed)


_OWN: dict[str, Step] = {
    "blosc": _blosc, "bz2": _bz2, "gzip": _zlib, "lz4": _lz4, "lzma": _lzma, "zlib": _zlib,
    "zstd": _zstd,
}  # fmt: skip


def pipeline(dtype: DType, named: Sequence[tuple[str, Config]], order: tuple[int, ...]) -> Pipeline:
    """Return the pipeline of some codecs between bytes and bytes, in the order of encoding.

    Raises
    ------
    SourceCorrupt
        If one of them is not known.
    """
    plain = order == tuple(range(len(order)))
    is_blosc = plain and [name for name, _ in named] == ["blosc"]
    return Pipeline(dtype, tuple(step(*item) for item in reversed(named)), order, is_blosc)
