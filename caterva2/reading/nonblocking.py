"""Read small slices without blocking, on an event loop.

No disk is waited for: bytes are read only if the kernel has them in its page cache. Only the blocks
that a slice touches are read and decoded, and few of them. Whatever is not that easy is left to a
thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import blosc2
import numpy as np

from caterva2.arrays.fields import FieldPath, Values, dtype_of, pick
from caterva2.arrays.selection import Axis, Selection
from caterva2.frames import proof
from caterva2.limits import DEFAULTS, CacheLimits
from caterva2.model import DatasetInfo

_Stretch = tuple[int, int, int | slice, tuple[slice, ...]]
"""Along one axis: a chunk, a block in it, the part of the block, and its place in the result
(empty where an integer drops the axis)."""
_Piece = tuple[int, int, tuple[int | slice, ...], tuple[slice, ...]]
"""Along all axes: a chunk, a block in it, the part of the block, and its place in the result."""


class Blocks(Protocol):
    """A complete array of which blocks can be read without waiting for a disk."""

    @property
    def info(self) -> DatasetInfo: ...

    def try_block(self, n: int, block: int) -> bytearray | None:
        """Read a chunk of nothing but one block of chunk ``n``; None if that has to wait."""
        ...


Decode = Callable[[Blocks, int, int], Values | None]


def values(
    replica: Blocks,
    selection: Selection,
    field: FieldPath = (),
    limits: CacheLimits = DEFAULTS.cache,
    decode: Decode | None = None,
) -> Values | None:
    """Read selected values, or a field of them; None if that needs disk I/O or many blocks.

    ``decode`` returns decoded blocks instead of `decoded`.
    """
    info = replica.info
    if info.kind != "array" or not selection.size or not info.blocksize:
        return None
    pieces = _pieces(selection, info, limits)
    if pieces is None:
        return None
    dtype = dtype_of(info)
    result = np.empty(selection.result_shape, dtype)
    for n, block, inside, place in pieces:
        items = (decode or decoded)(replica, n, block)
        if items is None:
            return None
        result[place] = items[inside]
    return np.array(pick(result, field), order="C") if field else result


def decoded(replica: Blocks, n: int, block: int) -> Values | None:
    """Read and decode a block; None if it can't be read or decoded at once."""
    chunk = replica.try_block(n, block)
    if chunk is None:
        return None
    values = np.empty(replica.info.blocks, dtype_of(replica.info))
    try:
        blosc2.decompress2(chunk, dst=values, nthreads=1)  # a pool of threads takes much longer
    except proof.DECODING:  # raised again where a thread reads it
        return None
    return values


def _pieces(selection: Selection, info: DatasetInfo, limits: CacheLimits) -> list[_Piece] | None:
    """Find the blocks that a plain slice touches; None if it is another one, or touches many."""
    max_blocks = min(limits.nonblocking_blocks, limits.nonblocking_bytes // info.blocksize)
    if info.chunksize > limits.nonblocking_map * info.blocksize:
        return None
    found: list[_Piece] = [(0, 0, (), ())]
    for axis, size, chunk, block in zip(
        selection.axes, info.shape, info.chunks, info.blocks, strict=True
    ):
        stretches = _stretches(axis, chunk, block, max_blocks)
        if len(found) * len(stretches) > max_blocks:
            return None
        chunks, blocks = -(-size // chunk), -(-chunk // block)
        found = [
            (n * chunks + at, b * blocks + within, (*inside, cut), place + there)
            for n, b, inside, place in found
            for at, within, cut, there in stretches
        ]
    return found or None


def _stretches(axis: Axis, chunk: int, block: int, max_count: int) -> list[_Stretch]:
    """Cut an axis at the borders of blocks; no stretches if its step is not 1."""
    if isinstance(axis, int):
        n, inner = divmod(axis, chunk)
        return [(n, inner // block, inner % block, ())]
    found: list[_Stretch] = []
    start, stop = at, end = axis.start, axis.stop
    while at < end and axis.step == 1 and len(found) <= max_count:
        n, inner = divmod(at, chunk)
        within, first = divmod(inner, block)
        stop = min(end, at + block - first, (n + 1) * chunk)
        place = slice(at - start, stop - start)
        found.append((n, within, slice(first, first + stop - at), (place,)))
        at = stop
    return found
