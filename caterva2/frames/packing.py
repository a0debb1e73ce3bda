"""Compression of values to one raw chunk of an array."""

from __future__ import annotations

import math
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.frames import compose
from caterva2.frames.chunk import ChunkShape
from caterva2.model import CParams

blosc2.set_releasegil(True)  # packing must not block an event loop


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
    packed: bytes = blosc2.compress2(
        data, cparams=compose.blosc_cparams(cparams, shape.typesize, blocksize)
    )
    return packed


def _in_blocks(values: npt.NDArray[Any], blocks: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the values in the order of a chunk: one block after the other."""
    ndim = values.ndim
    if math.prod(blocks) == values.size:
        return np.ascontiguousarray(values)
    split = [
        part
        for size, block in zip(values.shape, blocks, strict=True)
        for part in (size // block, block)
    ]
    order = [*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2)]
    return np.ascontiguousarray(values.reshape(split).transpose(order))
