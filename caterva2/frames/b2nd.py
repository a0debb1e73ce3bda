"""The metalayer that makes an array of a frame: shape, chunks, blocks and dtype."""

from __future__ import annotations

import functools
import struct

from caterva2.arrays import dtypes
from caterva2.errors import BadMessage, SourceCorrupt
from caterva2.limits import constants


def parse(layer: bytes | None) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], str]:
    """Parse the metalayer ``b2nd``: shape, chunks, blocks and dtype of an array.

    It is msgpack except for the tags of its lists: Blosc2 writes them as ``0x90 + ndim`` also
    where that is not the tag of a list, so the fields are found by their positions.

    Raises
    ------
    SourceCorrupt
        If it is missing or damaged, or the dtype is not allowed.
    """
    return _parsed(layer or b"")


@functools.lru_cache(256)  # most arrays of a root have the same
def _parsed(layer: bytes) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], str]:
    try:
        ndim = layer[2]
        if layer[0] != 0x97 or ndim > constants.NDIM:
            raise ValueError(f"{ndim} dimensions")
        shape = tuple(n for _, n in struct.iter_unpack(">Bq", layer[4 : 4 + 9 * ndim]))
        at = 5 + 9 * ndim
        grid = tuple(n for _, n in struct.iter_unpack(">Bi", layer[at : at + 5 * ndim]))
        at += 1 + 5 * ndim
        blocks = tuple(n for _, n in struct.iter_unpack(">Bi", layer[at : at + 5 * ndim]))
        at += 5 * ndim
        dtype = _b2nd_dtype(layer[at:])
        dtypes.parse(dtype)
    except (IndexError, ValueError, struct.error, BadMessage) as error:
        raise SourceCorrupt(f"not an array: its metalayer can't be read ({error})") from None
    if not ndim == len(shape) == len(grid) == len(blocks):
        raise SourceCorrupt("not an array: its metalayer is cut off")
    return shape, grid, blocks, dtype


def _b2nd_dtype(rest: bytes) -> str:
    """Return the dtype behind the grids: its format (0 is numpy's), then a string.

    Arrays of the first versions of Blosc2 have none.
    """
    if len(rest) < 6 or rest[0] != 0:
        return "|u1"
    (length,) = struct.unpack_from(">I", rest, 2)
    if rest[1] != 0xDB or length != len(rest) - 6:
        raise ValueError("the dtype's length is wrong")
    return rest[6:].decode()
