"""Composition of frames from raw chunks, without recompression.

Header and trailer come from an empty frame that the Blosc2 library makes of a validated
description; the chunks and the index of their offsets stand between them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.arrays import dtypes
from caterva2.errors import SourceCorrupt
from caterva2.frames import layout
from caterva2.frames.chunk import check_cparams, special_offset
from caterva2.model import CParams, DatasetInfo

TRAILER_ENTRIES = 16
"""vlmeta entries up to which Blosc2 4.14 can write a trailer; it reads any number."""


@dataclass(frozen=True, slots=True)
class Template:
    """The bytes in front of and behind the chunks of a frame."""

    header: bytes
    trailer: bytes


def template(info: DatasetInfo) -> Template:
    """Return the template of a whole dataset, with its vlmeta and metalayers."""
    if info.kind == "array":
        dtype = dtypes.parse(info.dtype)
        if dtype.itemsize != info.typesize:
            raise SourceCorrupt(f"items of {info.typesize} bytes can't be {info.dtype[:80]!r}")
        array = _empty_array(info.shape, info.chunks, info.blocks, dtype, info.cparams)
        schunk = array.schunk  # lives only as long as its array
    else:
        schunk = _empty_bytes(
            info.nbytes, info.chunksize, info.typesize, info.blocksize, info.cparams
        )
    entries = list(info.vlmeta.items())
    _set_vlmeta(schunk, entries[:TRAILER_ENTRIES])
    parts = _split(schunk.to_cframe(), 0 if info.kind == "array" else info.nbytes)
    if info.metalayers:
        parts = replace(parts, header=layout.with_metalayers(parts.header, info.metalayers))
    if len(entries) <= TRAILER_ENTRIES:
        return parts
    return Template(parts.header, layout.trailer(_compressed_vlmeta(entries)))


def _set_vlmeta(schunk: blosc2.SChunk, entries: Iterable[tuple[str, bytes]]) -> None:
    for name, packed in entries:
        schunk.vlmeta.set_vlmeta(name, packed, typesize=1)


def _compressed_vlmeta(entries: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
    """Compress vlmeta values as the Blosc2 library stores them."""
    compressed: dict[str, bytes] = {}
    for start in range(0, len(entries), TRAILER_ENTRIES):
        schunk = blosc2.SChunk(chunksize=1, contiguous=True)
        _set_vlmeta(schunk, entries[start : start + TRAILER_ENTRIES])
        compressed |= layout.parse_trailer(_split(schunk.to_cframe()).trailer)
    return compressed


@functools.lru_cache(maxsize=512)
def array_template(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    blocks: tuple[int, ...],
    dtype: str,
    cparams: CParams,
) -> Template:
    """Return the template of an array without metadata; boxes often have the same shape."""
    array = _empty_array(shape, chunks, blocks, dtypes.parse(dtype), cparams)
    return _split(array.to_cframe())


def box_template(info: DatasetInfo, shape: tuple[int, ...]) -> Template:
    """Return the template of a smaller dataset with the same chunks.

    Parameters
    ----------
    info : DatasetInfo
        Dataset of the chunks.
    shape : tuple of int
        Shape of the smaller one, in items (bytes where it is a byte string).
    """
    if info.kind == "array":
        return array_template(shape, info.chunks, info.blocks, info.dtype, info.cparams)
    schunk = _empty_bytes(shape[0], info.chunksize, info.typesize, info.blocksize, info.cparams)
    return _split(schunk.to_cframe(), shape[0])


def frame(parts: Template, chunks: Sequence[bytes | memoryview]) -> bytearray:
    """Return a whole frame in memory: the chunks in order, between header, index and trailer."""
    offsets, stored, cbytes = np.zeros(len(chunks), np.uint64), [], 0
    for n, chunk in enumerate(chunks):
        offsets[n] = special_offset(chunk) or cbytes
        if not offsets[n] >> np.uint64(63):
            stored.append(chunk)
            cbytes += len(chunk)
    tail = index_and_trailer(parts, offsets)
    header = layout.patched_header(parts.header, len(parts.header) + cbytes + len(tail), cbytes)
    return bytearray().join((header, *stored, tail))


def framed(
    parts: Template,
    offsets: npt.NDArray[np.uint64],
    cbytes: int,
    allocate: Callable[[int], memoryview],
) -> memoryview:
    """Return a whole frame without its chunks, in memory that is allocated for it.

    The ``cbytes`` bytes behind the header are left to be filled.
    """
    tail = index_and_trailer(parts, offsets)
    length = len(parts.header) + cbytes + len(tail)
    made = allocate(length)
    made[: len(parts.header)] = layout.patched_header(parts.header, length, cbytes)
    made[length - len(tail) :] = tail
    return made


def index_and_trailer(parts: Template, offsets: npt.NDArray[np.uint64]) -> bytes:
    """Return the part behind the chunks: the compressed index of their offsets, and the trailer.

    Parameters
    ----------
    parts : Template
    offsets : ndarray of uint64
        Offset of each chunk behind the header, in bytes, or `layout.MISSING`.
    """
    if not len(offsets):
        return parts.trailer
    packed: bytes = blosc2.compress2(
        np.ascontiguousarray(offsets).view(np.uint8),
        typesize=8,
        codec=blosc2.Codec.BLOSCLZ,
        clevel=5,
        filters=[blosc2.Filter.SHUFFLE],
        nthreads=1,
    )
    return packed + parts.trailer


def _split(cframe: bytes, nbytes: int = 0) -> Template:
    header = cframe[: layout.header_length(cframe[: layout.HEADER_MIN])]
    if nbytes:  # of a byte string, which need not be a multiple of its typesize
        header = layout.with_nbytes(header, nbytes)
    length = layout.trailer_length(cframe[-layout.TRAILER_TAIL :], len(cframe))
    return Template(header, cframe[-length:])


def blosc_cparams(cparams: CParams, typesize: int, blocksize: int = 0) -> blosc2.CParams:
    """Convert a description of a compression to python-blosc2's.

    Raises
    ------
    CodecNotAllowed
        If it names a codec or a filter outside of the allow-list.
    """
    check_cparams(cparams)
    return blosc2.CParams(
        codec=blosc2.Codec(cparams.codec),
        codec_meta=cparams.codec_meta,
        clevel=cparams.clevel,
        filters=[blosc2.Filter(code) for code in cparams.filters],
        filters_meta=filters_meta(cparams),
        splitmode=blosc2.SplitMode(cparams.splitmode),
        typesize=typesize,
        blocksize=blocksize,
        nthreads=1,
    )


def filters_meta(cparams: CParams) -> list[int]:
    """Return the parameters of the filters for python-blosc2, which takes these bytes as signed."""
    return [meta - 256 if meta > 127 else meta for meta in cparams.filters_meta]


def _empty_array(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    blocks: tuple[int, ...],
    dtype: np.dtype[np.generic],
    cparams: CParams,
) -> blosc2.NDArray:
    packing = blosc_cparams(cparams, dtype.itemsize)
    if math.prod(shape) == 0:  # Blosc2 chooses chunks and blocks of an empty array
        return blosc2.empty(shape, dtype=dtype, cparams=packing, contiguous=True)
    # Contiguous: otherwise conversion to a frame visits every chunk.
    return blosc2.uninit(
        shape, dtype=dtype, chunks=chunks, blocks=blocks, cparams=packing, contiguous=True
    )


def _empty_bytes(
    nbytes: int, chunksize: int, typesize: int, blocksize: int, cparams: CParams
) -> blosc2.SChunk:
    packing = blosc_cparams(cparams, typesize, blocksize)
    schunk = blosc2.SChunk(chunksize=chunksize, cparams=packing, contiguous=True)
    if nbytes:
        schunk.fill_special(nbytes // typesize, blosc2.SpecialValue.UNINIT)
    return schunk
