"""The blocks of which chunks a selection touches."""

from __future__ import annotations

import itertools
import math

import numpy as np

from caterva2.arrays.points import Points
from caterva2.arrays.selection import Axis, IntArray, Selection
from caterva2.limits import DEFAULTS
from caterva2.limits.constants import REQUEST_BLOCKS
from caterva2.model import DatasetInfo

Touched = dict[int, tuple[int, ...]]
"""Numbers of blocks by the number of their chunk, both ascending."""
FEW_POINTS = 64
"""Points up to which their blocks are looked for one by one."""
MANY_CHUNKS, MANY_BLOCKS = 4096, 16_384
"""Chunks and blocks above which a region is read by whole chunks; requests for them are divided."""
_PLAIN_ITEMS = DEFAULTS.subscriber.plain_items


def touched(
    region: Selection | Points, info: DatasetInfo, max_items: int = _PLAIN_ITEMS
) -> Touched | None:
    """Find the blocks of an array that a region touches; None if these are too many.

    Parameters
    ----------
    region : Selection or Points
    info : DatasetInfo
    max_items : int
        Positions of an axis up to which its blocks are looked for.
    """
    if info.kind != "array" or not region.size or not info.blocksize:
        return None
    if isinstance(region, Selection):
        return _of_selection(region, info, max_items)
    if region.count > FEW_POINTS:
        return None
    found: dict[int, set[int]] = {}
    for n in range(region.count):
        point = _of_selection(region.point(n), info, max_items)
        if point is None:
            return None
        for chunk, ids in point.items():
            found.setdefault(chunk, set()).update(ids)
    return _bounded({chunk: tuple(sorted(found[chunk])) for chunk in sorted(found)})


def _of_selection(region: Selection, info: DatasetInfo, max_items: int) -> Touched | None:
    """Combine what is touched along each axis."""
    grid = zip(region.axes, region.shape, info.chunks, info.blocks, strict=True)
    along = []
    for axis, size, chunk, block in grid:
        found = _along(axis, chunk, block, max_items)
        if found is None:
            return None
        along.append((found, -(-size // chunk), -(-chunk // block)))
    if math.prod(len(found) for found, _, _ in along) > MANY_CHUNKS:
        return None
    result: Touched = {}
    for places in itertools.product(*(found.items() for found, _, _ in along)):
        n, ids = 0, np.zeros(1, np.int64)
        for (chunk, inner), (_, chunks_across, blocks_across) in zip(places, along, strict=True):
            n = n * chunks_across + chunk
            ids = (ids[:, None] * blocks_across + inner).ravel()
            if len(ids) > REQUEST_BLOCKS:
                return None
        result[n] = tuple(ids.tolist())
    return _bounded(result)


def _along(axis: Axis, chunk: int, block: int, max_items: int) -> dict[int, IntArray] | None:
    """Find the positions of the touched blocks in each touched chunk, along one axis."""
    if isinstance(axis, int):
        return {axis // chunk: np.array([axis % chunk // block])}
    if len(axis) > max_items:
        return None
    items = np.arange(axis.start, axis.stop, axis.step)
    across = -(-chunk // block)
    codes = np.unique(items // chunk * across + items % chunk // block)
    chunks, starts = np.unique(codes // across, return_index=True)
    inner = np.split(codes % across, starts[1:])
    return dict(zip(chunks.tolist(), inner, strict=True))


def _bounded(found: Touched) -> Touched | None:
    """Return what was found, unless it is too much for one read."""
    many = len(found) > MANY_CHUNKS or sum(map(len, found.values())) > MANY_BLOCKS
    return None if many else found
