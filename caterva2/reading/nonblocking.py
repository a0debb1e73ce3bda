"""Small slices out of what the system holds in memory, fast enough for an event loop.

No disk is waited for: the kernel is asked for bytes that are in its page cache, and says so if
they are not. Only the blocks that a slice touches are read and decoded, a few at most. Whatever
is not so easy is nobody's loss: a thread reads it then.
"""

from __future__ import annotations

import blosc2
import numpy as np

from caterva2 import limits
from caterva2.arrays.fields import Field, Values, dtype_of, pick
from caterva2.arrays.selection import Axis, Selection
from caterva2.cache.replica import Replica
from caterva2.model import DatasetInfo

_Stretch = tuple[int, int, int | slice, tuple[slice, ...]]
"""Number of a chunk and of a block in it along an axis, what to take, and its place if it has."""
_Piece = tuple[int, int, tuple[int | slice, ...], tuple[slice, ...]]
"""The same for all axes."""


def values(replica: Replica, wanted: Selection, field: Field = ()) -> Values | None:
    """What a selection selects, or a field of it; None if that takes more than a moment."""
    info = replica.info
    if info.kind != "array" or not wanted.size or not info.blocksize:
        return None
    pieces = _pieces(wanted, info)
    if pieces is None:
        return None
    dtype = dtype_of(info)
    result = np.empty(wanted.result_shape, dtype)
    for n, block, inside, place in pieces:
        decoded = _decoded(replica, n, block, dtype)
        if decoded is None:
            return None
        result[place] = decoded[inside]
    return np.array(pick(result, field), order="C") if field else result


def _decoded(replica: Replica, n: int, block: int, dtype: np.dtype[np.generic]) -> Values | None:
    chunk = replica.block_at_hand(n, block)
    if chunk is None:
        return None
    values = np.empty(replica.info.blocks, dtype)
    try:
        blosc2.decompress2(chunk, dst=values, nthreads=1)  # a pool of threads takes much longer
    except RuntimeError:  # whoever reads it in a thread is told
        return None
    return values


def _pieces(wanted: Selection, info: DatasetInfo) -> list[_Piece] | None:
    """What is wanted of which blocks; None if it is too much, or no plain slice."""
    most = min(limits.AT_HAND_BLOCKS, limits.AT_HAND_BYTES // info.blocksize)
    if info.chunksize > limits.AT_HAND_MAP * info.blocksize:
        return None
    found: list[_Piece] = [(0, 0, (), ())]
    for axis, size, chunk, block in zip(
        wanted.axes, info.shape, info.chunks, info.blocks, strict=True
    ):
        stretches = _stretches(axis, chunk, block, most)
        if len(found) * len(stretches) > most:
            return None
        chunks, blocks = -(-size // chunk), -(-chunk // block)
        found = [
            (n * chunks + at, b * blocks + within, (*inside, cut), place + there)
            for n, b, inside, place in found
            for at, within, cut, there in stretches
        ]
    return found or None


def _stretches(axis: Axis, chunk: int, block: int, most: int) -> list[_Stretch]:
    """The stretches of an axis that lie in one block each; none if it is no plain slice."""
    if isinstance(axis, int):
        n, inner = divmod(axis, chunk)
        return [(n, inner // block, inner % block, ())]
    found: list[_Stretch] = []
    start, stop = at, end = axis.start, axis.stop
    while at < end and axis.step == 1 and len(found) <= most:
        n, inner = divmod(at, chunk)
        within, first = divmod(inner, block)
        stop = min(end, at + block - first, (n + 1) * chunk)
        place = slice(at - start, stop - start)
        found.append((n, within, slice(first, first + stop - at), (place,)))
        at = stop
    return found
