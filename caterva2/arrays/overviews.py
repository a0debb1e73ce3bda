"""Overviews: a plane or line of an array made small, with the statistics of all its values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.arrays import binning
from caterva2.arrays.binning import Bins, Grid, Reduce, Shape
from caterva2.arrays.fields import FieldPath, dtype_of, pick
from caterva2.arrays.numbers import Part, number_dtype, numbers
from caterva2.arrays.selection import Selection
from caterva2.arrays.summaries import Statistics, Summary, sample_steps, sampled, summarise
from caterva2.model import DatasetInfo

Values = npt.NDArray[Any]
_PIECE = 2**18
"""Items that are described at a time, so that temporaries stay in the processor's cache."""
_BINNED = 2**21
"""Items that are binned at a time; few steps of it make temporaries of their size.

Threads wait for the interpreter at each step of numpy, so few large steps take less time.
"""


@dataclass(frozen=True, slots=True)
class Survey:
    """Request for an overview of a part of an array.

    Parameters
    ----------
    selection : Selection
    field : FieldPath
    part : Part
        Of complex numbers.
    size : int
        Bins of an axis at most; 0 asks for statistics alone.
    reduce : Reduce
    coarse : int
        Decompressed bytes of blocks to take a sample of; 0 takes all of them.
    square : bool
        Whether a bin is as wide as long.
    """

    selection: Selection
    field: FieldPath = ()
    part: Part = ""
    size: int = 0
    reduce: Reduce = "minmax"
    coarse: int = 0
    square: bool = False

    def dtype(self, info: DatasetInfo) -> np.dtype[Any]:
        """Return the dtype of the numbers; `BadSelection` if the values are no numbers."""
        return number_dtype(dtype_of(info, self.field), self.part)

    def grid(self, shape: Shape) -> Grid:
        """Return the bins of what is read, by its shape."""
        if not self.square:
            return Grid.of(shape, self.size)
        whole = Grid.of(self.selection.result_shape, self.size, square=True)
        if not self.coarse:
            return whole
        bins = zip(shape, whole.bins, strict=True)  # the proportions are not those of the sample
        return Grid(shape, tuple(max(1, -(-n // count)) for n, count in bins))

    def boxes(self, info: DatasetInfo) -> tuple[Shape, Iterator[tuple[Selection, Shape]]]:
        """Return the shape of what is read, and its boxes, each with its place in that shape."""
        selection = self.selection
        if not self.coarse or not selection.size:
            return selection.result_shape, iter([(selection, (0,) * len(selection.result_shape))])
        axes = _spread(selection, info, self.size or binning.COARSE, self.coarse)
        along = [list(zip(parts, _starts(parts), strict=True)) for parts in axes]
        shape = tuple(sum(map(len, parts)) for parts in axes)
        return shape, (_box(selection, cell) for cell in itertools.product(*along))


def _starts(parts: list[range]) -> list[int]:
    """Return the place of each run, as these follow each other in what is read."""
    return list(itertools.accumulate(map(len, parts[:-1]), initial=0))


def _box(selection: Selection, cell: tuple[tuple[range, int], ...]) -> tuple[Selection, Shape]:
    """Return one of the boxes of a sample, and its place among all of them."""
    parts = iter([part for part, _ in cell])
    axes = tuple(axis if isinstance(axis, int) else next(parts) for axis in selection.axes)
    return Selection(selection.shape, axes), tuple(at for _, at in cell)


def _spread(selection: Selection, info: DatasetInfo, size: int, most: int) -> list[list[range]]:
    """Spread runs, of a block each, over the axes of a selection, as many as ``most`` bytes are."""
    axes = [
        (axis, max(1, block // abs(axis.step)))
        for axis, block in zip(selection.axes, info.blocks, strict=True)
        if isinstance(axis, range)
    ]
    counts = [min(size, -(-len(axis) // run)) for axis, run in axes]
    blocks = max(1, most // max(info.blocksize, 1))
    while math.prod(counts) > blocks:
        longest = counts.index(max(counts))
        counts[longest] = (counts[longest] + 1) // 2
    return [
        [axis]
        if count * run >= len(axis)
        else [axis[part.start : part.stop] for part in binning.runs(len(axis), run, count)]
        for (axis, run), count in zip(axes, counts, strict=True)
    ]


def cost(info: DatasetInfo, selection: Selection) -> int:
    """Return the decompressed bytes of the blocks that a selection touches, about."""
    count = 1
    for axis, block in zip(selection.axes, info.blocks, strict=True):
        if isinstance(axis, range):
            count *= min(len(axis), abs(axis[-1] - axis[0]) // max(block, 1) + 1) if axis else 0
    return count * info.blocksize


@dataclass(frozen=True, slots=True)
class Overview:
    """The answer to a `Survey`.

    Parameters
    ----------
    values : ndarray or None
        The bins.
    bins : tuple of int
        Their number along each axis.
    shape : tuple of int
        Of what was asked about.
    statistics : Statistics
    exact : bool
        Whether all values count, and not a sample of the blocks.
    """

    values: Values | None
    bins: Shape
    shape: Shape
    statistics: Statistics
    exact: bool

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes, about."""
        return 8192 + (0 if self.values is None else self.values.nbytes)


@dataclass(frozen=True, slots=True)
class Piece:
    """What became of some boxes: their summary, and the bins that each of them touches."""

    summary: Summary
    folded: list[tuple[Shape, Shape, dict[str, Values]]]


class Accumulation:
    """An overview in the making: pieces are reduced in any thread, and joined by one at a time.

    Parameters
    ----------
    survey : Survey
    info : DatasetInfo
    shape : tuple of int
        Of what is read: that of the selection, or of a sample of it.
    """

    def __init__(self, survey: Survey, info: DatasetInfo, shape: Shape) -> None:
        self._survey = survey
        self._shape = shape
        self._steps = sample_steps(shape)
        self._summary = Summary()
        grid = survey.grid(shape) if survey.size else None
        self._bins = Bins(grid, survey.reduce, survey.dtype(info)) if grid else None

    def piece(self) -> Piece:
        """Return a piece without any box."""
        return Piece(Summary(), [])

    def reduce(self, piece: Piece, values: Values, first: Shape) -> None:
        """Add the values of a box to a piece; ``first`` is its place in what is read."""
        picked = pick(values, self._survey.field)
        piece_size = _PIECE if self._bins is None else _BINNED
        rows = max(1, piece_size // max(1, math.prod(picked.shape[1:])))
        with np.errstate(all="ignore"):
            for start in range(0, picked.shape[0], rows) if picked.ndim else (0,):
                part = picked[start : start + rows] if picked.ndim else picked
                at = (first[0] + start, *first[1:]) if picked.ndim else ()
                self._add(piece, numbers(part, self._survey.part), at)

    def _add(self, piece: Piece, values: Values, first: Shape) -> None:
        bins = self._bins if values.size else None
        folded = {} if bins is None else bins.fold_box(values, first, clean=True)
        sample = sampled(values, first, self._steps)
        summary, clean = summarise(values, sample, folded, spread=self._bins is None)
        piece.summary.join(summary)
        if bins is not None:
            if not clean:
                folded = bins.fold_box(values, first, clean=False)
            piece.folded.append((first, values.shape, folded))

    def join(self, piece: Piece) -> None:
        """Add a reduced box."""
        self._summary.join(piece.summary)
        if self._bins is not None:
            with np.errstate(all="ignore"):
                for first, shape, folded in piece.folded:
                    self._bins.put(first, shape, folded)

    def result(self) -> Overview:
        """Return the overview of all boxes."""
        survey, bins = self._survey, self._bins
        return Overview(
            None if bins is None else bins.result(),
            () if bins is None else bins.grid.bins,
            survey.selection.result_shape,
            self._summary.statistics(spread=bins is None),
            exact=not survey.coarse,
        )
