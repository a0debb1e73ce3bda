"""Selections by index arrays: numpy's advanced indexing, normalised.

The key is a list with one entry an axis, as clients send it in JSON: an index array (nested
lists of integers), an integer, ``"start:stop:step"``, or None for the whole axis. Index arrays
broadcast together, and where their axes end up in the result is numpy's rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caterva2.arrays.selection import IntArray, Selection, normalise, parse_key
from caterva2.errors import BadSelection, TooLarge
from caterva2.limits import constants


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """A selection with index arrays on some of its axes.

    Parameters
    ----------
    shape : tuple of int
        Shape of the whole dataset, in items.
    axes : tuple of ndarray or range
        One for each dimension; index arrays are within bounds, and not yet broadcast. An
        integer is an index array without dimensions.
    points_shape : tuple of int
        Shape of the index arrays, broadcast together.
    """

    shape: tuple[int, ...]
    axes: tuple[IntArray | range, ...]
    points_shape: tuple[int, ...]

    @property
    def indexed(self) -> tuple[int, ...]:
        """The axes that have an index array."""
        return tuple(n for n, axis in enumerate(self.axes) if not isinstance(axis, range))

    @property
    def ranged(self) -> tuple[int, ...]:
        """The axes that have none."""
        return tuple(n for n, axis in enumerate(self.axes) if isinstance(axis, range))

    @property
    def ranges(self) -> Selection:
        """Selection on the axes without an index array, as an array of only these axes."""
        ranges = tuple(axis for axis in self.axes if isinstance(axis, range))
        return Selection(tuple(self.shape[n] for n in self.ranged), ranges)

    @property
    def position(self) -> int:
        """First axis of the points in the result: 0 if the index arrays are not adjacent."""
        first, last = self.indexed[0], self.indexed[-1]
        return first if last - first + 1 == len(self.indexed) else 0

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Shape of the selected values, by numpy's rules."""
        rest = self.ranges.result_shape
        return rest[: self.position] + self.points_shape + rest[self.position :]

    @property
    def count(self) -> int:
        """Number of points, each of which has a value for every item of the ranges."""
        return math.prod(self.points_shape)

    @property
    def size(self) -> int:
        """Number of selected items."""
        return self.count * self.ranges.size

    @property
    def is_whole(self) -> bool:
        """Always false: index arrays never stand for a whole dataset."""
        return False

    def point(self, n: int) -> Selection:
        """Return the selection of point ``n``."""
        at = np.unravel_index(n, self.points_shape) if self.points_shape else ()
        axes = tuple(
            axis if isinstance(axis, range) else int(np.broadcast_to(axis, self.points_shape)[at])
            for axis in self.axes
        )
        return Selection(self.shape, axes)


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Points grouped by the chunk that contains them.

    Parameters
    ----------
    bases : ndarray of int64
        Contribution of the indexed axes to the number of a group's chunks, ascending.
    order : ndarray of int64
        The points, group by group.
    bounds : ndarray of int64
        Start of each group in ``order``, and the end of the last one.
    offsets : ndarray of int64
        For each point in ``order``: its offset in the chunk along the indexed axes, in C order.
    """

    bases: IntArray
    order: IntArray
    bounds: IntArray
    offsets: IntArray


def group(points: Points, chunks: tuple[int, ...]) -> Groups:
    """Group the points of a selection by the chunk that contains them.

    Parameters
    ----------
    points : Points
    chunks : tuple of int
        Shape of a chunk, in items.
    """
    strides = _strides(_grid(points.shape, chunks))
    inner = _strides(tuple(chunks[n] for n in points.indexed))
    bases, offsets = np.zeros(points.count, np.int64), np.zeros(points.count, np.int64)
    for n, width in zip(points.indexed, inner, strict=True):
        axis = points.axes[n]
        assert isinstance(axis, np.ndarray)
        where, rest = np.divmod(axis, max(chunks[n], 1))
        bases += np.broadcast_to(where * strides[n], points.points_shape).ravel()
        offsets += np.broadcast_to(rest * width, points.points_shape).ravel()
    order = np.argsort(bases, kind="stable")
    unique, starts = np.unique(bases[order], return_index=True)
    return Groups(unique, order, np.append(starts, len(order)), offsets[order])


def renumber(ids: IntArray, points: Points, chunks: tuple[int, ...]) -> IntArray:
    """Return the contribution of the axes without index arrays to chunk numbers.

    Parameters
    ----------
    ids : ndarray of int64
        Numbers of chunks in an array of only these axes.
    points : Points
    chunks : tuple of int
        Shape of a chunk, in items.
    """
    grid = _grid(points.shape, chunks)
    strides = _strides(grid)
    added = np.zeros_like(ids)
    for n in reversed(points.ranged):
        ids, at = np.divmod(ids, max(grid[n], 1))
        added += at * strides[n]
    return added


def _grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-size // max(chunk, 1)) for size, chunk in zip(shape, chunks, strict=True))


def _strides(grid: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(grid[n + 1 :]) for n in range(len(grid)))


def parse(entries: object, shape: tuple[int, ...]) -> Selection | Points:
    """Parse the entries of ``indices``; without index arrays they are a plain `Selection`.

    Raises
    ------
    BadSelection
        If an entry is not an index, or an index is out of range.
    TooLarge
        If there are more numbers or points than `limits` allows.
    """
    if not isinstance(entries, list):
        raise BadSelection(f"indices is {_kind(entries)}, it has to be a list")
    if len(entries) > len(shape):
        raise BadSelection(f"indices: {len(entries)} entries for {len(shape)} dimensions")
    room = constants.INDEX_ENTRIES
    key: list[int | slice | IntArray] = []
    for position, entry in enumerate(entries):
        if isinstance(entry, list):
            room -= _count(entry, position, room)
            key.append(_array(entry, position, shape[position]))
        else:
            key.append(_plain(entry, position))
    if not any(isinstance(entry, np.ndarray) for entry in key):
        return normalise(tuple(key), shape)
    return _points(key, shape)


def _points(key: list[int | slice | IntArray], shape: tuple[int, ...]) -> Points:
    rest = normalise(tuple(slice(None) if isinstance(e, np.ndarray) else e for e in key), shape)
    axes: list[IntArray | range] = [
        np.asarray(axis, np.int64) if isinstance(axis, int) else axis for axis in rest.axes
    ]
    for position, entry in enumerate(key):
        if isinstance(entry, np.ndarray):
            axes[position] = entry
    arrays = [axis.shape for axis in axes if isinstance(axis, np.ndarray)]
    try:
        points_shape = np.broadcast_shapes(*arrays)
    except ValueError:
        raise BadSelection(f"indices: arrays of shapes {arrays} do not broadcast") from None
    count = math.prod(points_shape)
    if count > constants.INDEX_POINTS:
        raise TooLarge(f"indices name {count} points, INDEX_POINTS is {constants.INDEX_POINTS}")
    made = Points(shape, tuple(axes), points_shape)
    if len(made.result_shape) > constants.NDIM:
        raise BadSelection(
            f"the result has {len(made.result_shape)} axes, NDIM is {constants.NDIM}"
        )
    return made


def _plain(entry: object, position: int) -> int | slice:
    if entry is None:
        return slice(None)
    if isinstance(entry, int) and not isinstance(entry, bool):
        return entry
    if isinstance(entry, str) and ":" in entry and "," not in entry:
        [part] = parse_key(entry)
        if isinstance(part, slice):
            return part
    raise BadSelection(
        f"indices[{position}] is {_kind(entry)}, it has to be a list of integers, an integer, "
        'a string "start:stop:step", or null'
    )


def _array(entry: list[Any], position: int, size: int) -> IntArray:
    try:
        array = np.asarray(entry, np.int64)
    except (ValueError, OverflowError) as error:
        raise BadSelection(f"indices[{position}]: {str(error)[:200]}") from None
    outside = (array < -size) | (array >= size)
    if outside.any():
        index = int(array[outside].ravel()[0])
        raise BadSelection(
            f"indices[{position}]: index {index} is out of bounds for axis {position} "
            f"with size {size}"
        )
    wrapped: IntArray = np.where(array < 0, array + size, array)
    return wrapped


def _count(entry: Sequence[Any], position: int, room: int, depth: int = 1) -> int:
    """Count the integers in nested lists."""
    if depth > constants.NDIM:
        raise BadSelection(f"indices[{position}] is nested deeper than NDIM, {constants.NDIM}")
    kinds = set(map(type, entry))
    count = len(entry)
    if kinds == {list}:
        count += sum(_count(part, position, room, depth + 1) for part in entry)
    elif not kinds <= {int}:
        odd = next(part for part in entry if type(part) is not int)
        raise BadSelection(f"indices[{position}] holds {_kind(odd)}, it has to hold integers")
    if count > room:
        raise TooLarge(f"indices has more than {constants.INDEX_ENTRIES} entries, INDEX_ENTRIES")
    return count


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", dict: "an object", list: "a list"}
    return names.get(type(value), repr(value)[:40])
