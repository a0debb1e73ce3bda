"""Region: part of an array in the terms of a request, and its division into smaller parts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from caterva2.arrays import selection
from caterva2.arrays.selection import Selection
from caterva2.limits import DEFAULTS, constants

IndexArray = npt.NDArray[np.intp]
Entry = int | range | IndexArray
Place = tuple[slice, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Part of an array, as one request describes it.

    Parameters
    ----------
    shape : tuple of int
        Shape of the whole dataset.
    axes : tuple of int, range or ndarray
        One for each dimension, within bounds; index arrays broadcast together.
    block : tuple of int
        Shape of the index arrays, broadcast; empty without any.
    at : int
        Place of the block among the axes of the answer.
    """

    shape: tuple[int, ...]
    axes: tuple[Entry, ...]
    block: tuple[int, ...] = ()
    at: int = 0

    is_fancy: bool = field(init=False)
    """Whether it has index arrays."""
    selection: Selection = field(init=False)
    """The axes without index arrays."""
    result_shape: tuple[int, ...] = field(init=False)
    """Shape of the answer."""
    size: int = field(init=False)
    """Number of items."""

    def __post_init__(self) -> None:
        # Computed once, since a small read uses each of them many times.
        plain = tuple([axis for axis in self.axes if not isinstance(axis, np.ndarray)])
        kept = Selection(self.shape, plain)
        shape = kept.result_shape
        shape = (*shape[: self.at], *self.block, *shape[self.at :])
        object.__setattr__(self, "is_fancy", len(plain) < len(self.axes))
        object.__setattr__(self, "selection", kept)
        object.__setattr__(self, "result_shape", shape)
        object.__setattr__(self, "size", math.prod(shape))

    @property
    def points(self) -> int:
        """Number of integers in the index arrays."""
        return sum(axis.size for axis in self.axes if isinstance(axis, np.ndarray))

    def parameters(self) -> dict[str, str]:
        """Return the parameters of a request for it; none for the whole array."""
        if self.is_fancy:
            entries = [_as_json(axis, n) for axis, n in zip(self.axes, self.shape, strict=True)]
            return {"indices": json.dumps(entries, separators=(",", ":"))}
        plain = self.selection
        return {} if plain.is_whole else {"slice_": selection.to_string(selection.as_key(plain))}

    def split(
        self,
        max_items: int,
        max_points: int = DEFAULTS.client.points,
        max_block: int = constants.INDEX_POINTS,
    ) -> Iterator[tuple[Region, Place]]:
        """Cut it into parts.

        Parameters
        ----------
        max_items : int
            Items of a part.
        max_points : int
            Integers in the index arrays of a part.
        max_block : int
            Points that the index arrays of a part name when they are broadcast.

        Yields
        ------
        part : Region
        where : tuple of slice
            Place of the part in the answer.
        """
        pending = [(self, tuple(slice(0, size) for size in self.result_shape))]
        while pending:
            part, where = pending.pop()
            at = part._longest(max_items, max_points, max_block)
            if at is None:
                yield part, where
                continue
            middle, span = part.result_shape[at] // 2, where[at]
            for piece in (slice(middle, None), slice(0, middle)):
                start, stop, _ = piece.indices(span.stop - span.start)
                place = slice(span.start + start, span.start + stop)
                pending.append((part._cut(at, piece), (*where[:at], place, *where[at + 1 :])))

    def _longest(self, max_items: int, max_points: int, max_block: int) -> int | None:
        """Return the axis of the answer to split at, if the region is too large."""
        shape = self.result_shape
        if self.points > max_points or math.prod(self.block) > max_block:
            candidates = range(self.at, self.at + len(self.block))
        elif self.size > max_items:
            candidates = range(len(shape))
        else:
            return None
        longest = max(candidates, key=shape.__getitem__)
        return longest if shape[longest] > 1 else None

    def _cut(self, at: int, piece: slice) -> Region:
        """Return the part of it that is a slice along one axis of the answer."""
        inside = at - self.at
        if 0 <= inside < len(self.block):
            axes = tuple(_cut_array(axis, self.block, inside, piece) for axis in self.axes)
            length = len(range(*piece.indices(self.block[inside])))
            block = (*self.block[:inside], length, *self.block[inside + 1 :])
            return replace(self, axes=axes, block=block)
        ranges = [n for n, axis in enumerate(self.axes) if isinstance(axis, range)]
        position = ranges[at if inside < 0 else at - len(self.block)]
        whole = self.axes[position]
        assert isinstance(whole, range)
        return replace(self, axes=(*self.axes[:position], whole[piece], *self.axes[position + 1 :]))


def _as_json(axis: Entry, size: int) -> object:
    """Express an axis in JSON."""
    if isinstance(axis, np.ndarray):
        return axis.tolist()
    if isinstance(axis, int):
        return axis
    return None if axis == range(size) else selection.to_string(selection.as_slice(axis))


def _cut_array(axis: Entry, block: tuple[int, ...], at: int, piece: slice) -> Entry:
    """Slice an index array along one axis of the block, if it has that axis."""
    if not isinstance(axis, np.ndarray):
        return axis
    own = at - (len(block) - axis.ndim)
    if own < 0 or axis.shape[own] == 1:
        return axis
    return axis[(slice(None),) * own + (piece,)]
