"""Values of an array as raw chunks, and back."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.frames import compose
from caterva2.frames.chunk import ChunkShape, nbytes_of
from caterva2.limits.constants import KIB, MIB
from caterva2.model import CParams, DatasetInfo

blosc2.set_releasegil(True)  # packing must not block an event loop
SMALL = 128 * KIB
"""Bytes of a chunk below which many are decoded faster by Blosc2, as one frame."""
_LARGE = MIB
"""Bytes of a chunk above which threads for its blocks gain more than their start takes."""


def padded_shape(chunks: tuple[int, ...], blocks: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a chunk, rounded up to whole blocks."""
    return tuple(-(-size // block) * block for size, block in zip(chunks, blocks, strict=True))


def rows(grid: tuple[int, ...], itemsize: int, blocksize: int) -> tuple[int, ...] | None:
    """Return the shape of blocks that are contiguous in a chunk, None if there is no such shape."""
    items, rest = divmod(blocksize, itemsize)
    if rest or items < 1:
        return None
    blocks = [1] * len(grid)
    for n in reversed(range(len(grid))):
        blocks[n] = min(items, grid[n])
        if grid[n] % blocks[n] or items % blocks[n]:
            return None
        items //= blocks[n]
        if blocks[n] < grid[n]:
            break
    return tuple(blocks) if items == 1 else None


def pack(values: npt.NDArray[Any], blocks: tuple[int, ...], cparams: CParams) -> bytes:
    """Compress values to a raw chunk.

    Parameters
    ----------
    values : ndarray
        In the chunk's padded shape.
    blocks : tuple of int
    cparams : CParams
    """
    itemsize = values.dtype.itemsize
    flat = _in_blocks(values, blocks).reshape(-1).view(np.uint8)
    return pack_blocks(flat, itemsize, math.prod(blocks) * itemsize, cparams)


def pack_blocks(
    data: npt.NDArray[np.uint8], itemsize: int, blocksize: int, cparams: CParams
) -> bytes:
    """Compress the bytes of a decoded chunk, which lie block by block, to a raw chunk."""
    shape = ChunkShape.of("array", itemsize, blocksize)
    given = compose.blosc_cparams(cparams, shape.typesize, blocksize)
    packed: bytes = blosc2.compress2(data, **vars(given))  # an object would be copied deeply
    return packed


def decoded(info: DatasetInfo, chunks: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Return the bytes of raw chunks that passed the gate, which lie block by block, in rows."""
    rows = np.empty((len(chunks), info.chunksize), np.uint8)
    threads = {"nthreads": 1} if info.chunksize <= SMALL else {}
    for row, chunk in zip(rows, chunks, strict=True):
        _decode(chunk, row, threads)
    return rows


def unpack(
    info: DatasetInfo,
    chunks: Iterable[bytes | memoryview],
    out: npt.NDArray[Any],
    nthreads: int | None = None,
) -> None:
    """Decode raw chunks, and write their values.

    Parameters
    ----------
    info : DatasetInfo
        The array that the chunks belong to.
    chunks : iterable of bytes-like
        Raw chunks that passed the gate, in C order.
    out : ndarray
        Values of the array that consists of these chunks, of which the last ones may be cut off.
    nthreads : int, optional
        Threads of Blosc2 for each chunk; as many as pay without it.
    """
    nthreads = 1 if info.chunksize <= _LARGE else nthreads
    threads = {} if nthreads is None else {"nthreads": nthreads}
    if out.shape == info.chunks and out.flags.c_contiguous and _in_order(info):
        (chunk,) = chunks
        _decode(chunk, out.reshape(-1).view(np.uint8), threads)
        return
    flat = np.empty(info.chunksize, np.uint8)
    starts = (range(0, n, step) for n, step in zip(out.shape, info.chunks, strict=True))
    for start, chunk in zip(itertools.product(*starts), chunks, strict=True):
        _decode(chunk, flat, threads)
        place: Any = tuple(map(slice, start, map(operator.add, start, info.chunks)))
        _write(flat.view(out.dtype), info, out[(*place, ...)])


def _in_order(info: DatasetInfo) -> bool:
    """Return whether the values of a chunk lie in it as in memory: its blocks are whole rows."""
    begun = False
    for size, block in zip(info.chunks, info.blocks, strict=True):
        if size % block or (begun and block != size):
            return False
        begun = begun or block > 1
    return True


def _decode(
    chunk: bytes | memoryview, out: npt.NDArray[np.uint8], threads: Mapping[str, int]
) -> None:
    # Blosc2 writes as many bytes as the header says, and a disk may have changed it since the gate.
    if nbytes_of(chunk) != out.nbytes:
        raise ValueError(f"its header says {nbytes_of(chunk)} bytes, {out.nbytes} expected")
    blosc2.decompress2(chunk, dst=out, **threads)


def _write(flat: npt.NDArray[Any], info: DatasetInfo, out: npt.NDArray[Any]) -> None:
    """Write the values of a decoded chunk, which lie block by block."""
    shape = padded_shape(info.chunks, info.blocks)
    split, order = _division(shape, info.blocks)
    blocks = flat.reshape((*split[::2], *split[1::2]))
    if out.shape == shape:
        out.reshape(split).transpose(order)[...] = blocks  # a view: axes are only divided
    else:
        whole = blocks.transpose(np.argsort(order)).reshape(shape)
        out[...] = whole[tuple(map(slice, out.shape))]


def _in_blocks(values: npt.NDArray[Any], blocks: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the values in the order of a chunk: one block after the other."""
    if math.prod(blocks) == values.size:
        return np.ascontiguousarray(values)
    split, order = _division(values.shape, blocks)
    return np.ascontiguousarray(values.reshape(split).transpose(order))


def _division(shape: tuple[int, ...], blocks: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return each axis as two, of blocks and of items in a block; and all axes of blocks first."""
    split = [
        part for size, block in zip(shape, blocks, strict=True) for part in (size // block, block)
    ]
    return split, [*range(0, len(split), 2), *range(1, len(split), 2)]
