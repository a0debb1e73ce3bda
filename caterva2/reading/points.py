"""Read values at single points from a replica's chunks.

Only the chunks that hold a requested point are read: as many as one step may take are decoded as a
pile, and the points are taken out of it. Everything here blocks and belongs in a thread.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caterva2.arrays import points as indices
from caterva2.arrays.fields import FieldPath, Values, dtype_of, pick
from caterva2.arrays.points import Groups, Points
from caterva2.arrays.selection import Box, box, split
from caterva2.cache.readable import Ids, Readable
from caterva2.cache.touched_blocks import FEW_POINTS
from caterva2.model import DatasetInfo
from caterva2.reading import slices
from caterva2.reading.scope import DEFAULT_SCOPE, ReadScope

_POINT_COST = 64 * 1024
"""Decompressed bytes that take as long as opening a sealed array at one point."""


def chunk_ids(points: Points, info: DatasetInfo, groups: Groups) -> Ids:
    """Return the numbers of the chunks that hold requested points."""
    if not points.size:
        return np.empty(0, np.int64)
    chunks = tuple(info.chunks[n] for n in points.ranged)
    across = indices.renumber(box(points.ranges, chunks).chunk_ids, points, info.chunks)
    return np.add.outer(groups.bases, across).ravel()


def values(
    replica: Readable,
    points: Points,
    groups: Groups,
    field: FieldPath = (),
    scope: ReadScope = DEFAULT_SCOPE,
) -> Values | None:
    """Read the values at points; None if one of their chunks is missing, or the scope ended."""
    info = replica.info
    dtype = dtype_of(info, field)
    result = np.empty((points.count, *points.ranges.result_shape), dtype)
    if points.size:
        if _is_few(replica, points, groups):
            done = _one_by_one(replica, points, result, field, scope)
        else:
            done = _by_chunks(replica, points, groups, result, field, scope)
        if not done:
            return None
    shaped = result.reshape((*points.points_shape, *result.shape[1:]))
    axes = range(len(points.points_shape))
    return np.moveaxis(shaped, axes, [points.position + n for n in axes])


def _is_few(replica: Readable, points: Points, groups: Groups) -> bool:
    """Decide whether reading each point with only its blocks is faster, or the only way."""
    info = replica.info
    if slices.is_open(replica):
        return points.count * _POINT_COST < len(groups.bases) * info.chunksize
    few = info.kind == "array" and points.count <= FEW_POINTS
    return few and len(replica.missing(chunk_ids(points, info, groups))) > 0


def _one_by_one(
    replica: Readable,
    points: Points,
    result: Values,
    field: FieldPath,
    scope: ReadScope,
) -> bool:
    """Read a few points of large chunks, of which only the blocks needed are decoded."""
    for n in range(points.count):
        piece = slices.values(replica, points.point(n), field, scope)
        if piece is None:
            return False
        result[n] = piece
    return True


def _by_chunks(
    replica: Readable,
    points: Points,
    groups: Groups,
    result: Values,
    field: FieldPath,
    scope: ReadScope,
) -> bool:
    info = replica.info
    max_chunks = scope.chunks_a_step(info)
    chunks = tuple(info.chunks[n] for n in points.ranged)
    for part, where in split(points.ranges, chunks, max_chunks):
        small = box(part, chunks)
        step = max(1, max_chunks // len(small.chunk_ids))
        for first in range(0, len(groups.bases), step):
            bases = groups.bases[first : first + step]
            if scope.ended.is_set():
                return False
            pile = _pile(replica, points, bases, small)
            if pile is None:
                return False
            begin, end = groups.bounds[first], groups.bounds[first + len(bases)]
            group = np.repeat(
                np.arange(len(bases)), np.diff(groups.bounds[first : first + len(bases) + 1])
            )
            area = math.prod(info.chunks[n] for n in points.indexed)
            rows = group * area + groups.offsets[begin:end]
            key = groups.order[begin:end], where
            _take(pick(pile, field), rows, result, key, scope.limits.decode_step)
    return True


def _take(
    pile: Values, rows: Ids, result: Values, places: tuple[Ids, tuple[slice, ...]], max_bytes: int
) -> None:
    """Copy rows of a pile to their places, in steps: a point may be requested many times."""
    order, where = places
    step = max(1, max_bytes // max(pile[:1].nbytes, 1))
    for at in range(0, len(rows), step):
        key: Any = (order[at : at + step], *where)
        result[key] = pile[rows[at : at + step]]


def _pile(replica: Readable, points: Points, bases: Ids, small: Box) -> Values | None:
    """Decode the chunks of some groups and one part of the ranges.

    Returns
    -------
    ndarray or None
        The first axis goes through the picked axes of one chunk after the other, the others
        are those of the part.
    """
    info = replica.info
    across = indices.renumber(small.chunk_ids, points, info.chunks)
    ids = np.add.outer(bases, across).ravel()
    raw = replica.read(ids)
    if raw is None:
        return None
    chunks = [info.chunks[n] for n in points.ranged]
    counts = [-(-size // chunk) for size, chunk in zip(small.shape, chunks, strict=True)]
    pile = _decoded(info, ids, raw).reshape([len(bases), *counts, *info.chunks])
    first = 1 + len(counts)
    order = [0, *(first + n for n in points.indexed)]
    for at, n in enumerate(points.ranged):
        order += [1 + at, first + n]
    widths = [count * chunk for count, chunk in zip(counts, chunks, strict=True)]
    cut = (slice(None), *small.cut)
    return Box(ids, (), cut).take(pile.transpose(order).reshape([-1, *widths]))


def _decoded(info: DatasetInfo, ids: Ids, raw: list[bytes]) -> Values:
    """Decode whole chunks, one upon the other."""
    if info.kind == "array":
        shape = (len(ids) * info.chunks[0], *info.chunks[1:])
        return slices.decode_box(info, Box(ids, shape, ()), raw)
    pile = np.zeros(len(ids) * info.chunksize, np.uint8)
    data = slices.decode_box(info, Box(ids, (), ()), raw)
    pile[: len(data)] = data  # the last chunk of a byte string is shorter
    return pile
