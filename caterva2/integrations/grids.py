"""Grids: pieces of an array that are whole chunks and worth a request each."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pieces(
    shape: Sequence[int], chunks: Sequence[int], itemsize: int, most: int
) -> tuple[int, ...]:
    """Return the shape of pieces that are multiples of chunks and have at most ``most`` bytes.

    They grow along the last axes first, as chunks are stored; a single chunk may be larger.
    """
    made = [max(min(chunk, size), 1) for chunk, size in zip(chunks, shape, strict=True)]
    for axis in reversed(range(len(made))):
        room = most // max(math.prod(made) * itemsize, 1)
        if room < 2:
            break
        made[axis] = min(made[axis] * room, max(shape[axis], 1))
    return tuple(made)
