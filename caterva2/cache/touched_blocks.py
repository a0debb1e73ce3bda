"""Which blocks of which chunks a selection touches, and when to fetch just these."""

from __future__ import annotations

import itertools
import math

import numpy as np

from caterva2 import limits
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Axis, IntArray, Selection
from caterva2.model import DatasetInfo

Touched = dict[int, tuple[int, ...]]
"""Numbers of blocks by the number of their chunk, both ascending."""
FEW_POINTS = 64


def touched(wanted: Selection | Points, info: DatasetInfo) -> Touched | None:
    """The blocks that are wanted of an array; None where these are too many to look for."""
    if info.kind != "array" or not wanted.size or not info.blocksize:
        return None
    if isinstance(wanted, Selection):
        return _of_selection(wanted, info)
    if wanted.count > FEW_POINTS:
        return None
    found: dict[int, set[int]] = {}
    for n in range(wanted.count):
        point = _of_selection(wanted.point(n), info)
        if point is None:
            return None
        for chunk, ids in point.items():
            found.setdefault(chunk, set()).update(ids)
    return _bounded({chunk: tuple(sorted(found[chunk])) for chunk in sorted(found)})


def _of_selection(wanted: Selection, info: DatasetInfo) -> Touched | None:
    """Along each axis the touched chunks, and the touched blocks of each, on their own."""
    grid = zip(wanted.axes, wanted.shape, info.chunks, info.blocks, strict=True)
    along = []
    for axis, size, chunk, block in grid:
        found = _along(axis, chunk, block)
        if found is None:
            return None
        along.append((found, -(-size // chunk), -(-chunk // block)))
    if math.prod(len(found) for found, _, _ in along) > limits.BLOCKS_CHUNKS:
        return None
    result: Touched = {}
    for places in itertools.product(*(found.items() for found, _, _ in along)):
        n, ids = 0, np.zeros(1, np.int64)
        for (chunk, inner), (_, chunks_across, blocks_across) in zip(places, along, strict=True):
            n = n * chunks_across + chunk
            ids = (ids[:, None] * blocks_across + inner).ravel()
            if len(ids) > limits.REQUEST_BLOCKS:
                return None
        result[n] = tuple(ids.tolist())
    return _bounded(result)


def _along(axis: Axis, chunk: int, block: int) -> dict[int, IntArray] | None:
    """Positions of the touched blocks in each touched chunk, along one axis."""
    if isinstance(axis, int):
        return {axis // chunk: np.array([axis % chunk // block])}
    if len(axis) > limits.PLAIN_ITEMS:
        return None
    items = np.arange(axis.start, axis.stop, axis.step)
    across = -(-chunk // block)
    codes = np.unique(items // chunk * across + items % chunk // block)
    chunks, starts = np.unique(codes // across, return_index=True)
    inner = np.split(codes % across, starts[1:])
    return dict(zip(chunks.tolist(), inner, strict=True))


def _bounded(found: Touched) -> Touched | None:
    """The same, unless it is too much for one request."""
    count = sum(map(len, found.values()))
    many = len(found) > limits.BLOCKS_CHUNKS or count > limits.REQUEST_BLOCKS
    return None if many else found
