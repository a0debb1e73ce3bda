"""Binning: arrays made smaller, so that each bin stands for a box of items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
Shape = tuple[int, ...]
Reduce = Literal["minmax", "max", "min", "mean", "nearest"]
"""What becomes of the items of a bin; `minmax` makes two numbers, in a last axis."""
ELONGATED = 16
"""Times that an image is as long as wide, or as wide as long, at most."""
COARSE = 64
"""Runs of a sample along an axis at most, where no number of bins is asked for."""
_STRICT: dict[np.ufunc, np.ufunc] = {np.fmin: np.minimum, np.fmax: np.maximum}
"""Those that make NaN of NaN, by those that ignore it."""
_FEW = 16
"""Items of a bin along the last axis up to which they become rows, which are reduced quicker."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The bins of an array: boxes of equal width, of which the last of an axis may be narrower.

    Parameters
    ----------
    shape : tuple of int
    widths : tuple of int
        Items of a bin along each axis.
    """

    shape: Shape
    widths: Shape

    @classmethod
    def of(cls, shape: Shape, size: int, *, square: bool = False) -> Grid:
        """Return the finest grid with at most ``size`` bins along each axis.

        Those of a ``square`` grid are as wide along one of the first two axes as along the other,
        unless there were fewer than one for `ELONGATED` of the longer axis.
        """
        widths = [max(1, -(-n // size)) for n in shape]
        if square:
            for axis, n in enumerate(shape[:2]):
                widths[axis] = max(widths[axis], min(max(widths[:2]), n * ELONGATED // size))
        return cls(shape, tuple(widths))

    @property
    def bins(self) -> Shape:
        """Number of bins along each axis."""
        return tuple(-(-n // width) for n, width in zip(self.shape, self.widths, strict=True))

    def touched(self, first: Shape, shape: Shape) -> tuple[slice, ...]:
        """Return the bins that a box of items touches; ``first`` is its lowest item."""
        return tuple(
            slice(at // width, -(-(at + n) // width))
            for at, n, width in zip(first, shape, self.widths, strict=True)
        )


def fold(ufunc: np.ufunc, values: Values, first: Shape, widths: Shape, dtype: Any = None) -> Values:
    """Reduce the items of a box to one number for each bin that the box touches.

    The first axis comes first, since whole rows are reduced many times quicker than neighbours.

    Parameters
    ----------
    ufunc : ufunc
        Such as ``numpy.minimum``.
    values : ndarray
    first : tuple of int
        Place of the box in the whole array, which its bins are counted from.
    widths : tuple of int
    dtype : dtype, optional
        Of the result, if it is another one.
    """
    values = values if dtype is None or any(w > 1 for w in widths) else values.astype(dtype)
    for axis, (at, width) in enumerate(zip(first, widths, strict=True)):
        if width > 1:
            values = _along(ufunc, values, axis, -at % width, width, dtype)
    return values


def _along(ufunc: np.ufunc, values: Values, axis: int, lead: int, width: int, dtype: Any) -> Values:
    """Reduce runs of an axis: the first ``lead`` items, then ``width`` at a time, then the rest."""
    size = values.shape[axis]
    lead = min(lead, size)
    end = lead + (size - lead) // width * width
    before = (slice(None),) * axis
    pieces = [
        ufunc.reduce(values[(*before, part)], axis=axis, keepdims=True, dtype=dtype)
        for part in (slice(0, lead), slice(end, size))
        if part.start < part.stop
    ]
    if lead < end:
        shape = (*values.shape[:axis], (end - lead) // width, width, *values.shape[axis + 1 :])
        full = values[(*before, slice(lead, end))].reshape(shape)
        pieces.insert(1 if lead else 0, _runs(ufunc, full, axis + 1, dtype))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis)


def _runs(ufunc: np.ufunc, full: Values, axis: int, dtype: Any) -> Values:
    """Reduce an axis; neighbours in memory as rows, if they are few."""
    width, shape = full.shape[axis], full.shape[:axis]
    if axis == full.ndim - 1 and width <= _FEW:
        full, axis = np.ascontiguousarray(full.reshape(-1, width).T), 0
        return np.asarray(ufunc.reduce(full, axis=0, dtype=dtype)).reshape(shape)
    reduced: Values = ufunc.reduce(full, axis=axis, dtype=dtype)
    return reduced


class Bins:
    """The bins of an array that arrives in boxes, in any order.

    NaN counts in no bin; one of NaN alone is NaN.

    Parameters
    ----------
    grid : Grid
    reduce : Reduce
    dtype : dtype
        Of the items, in the machine's byte order: integers or floats.
    """

    def __init__(self, grid: Grid, reduce: Reduce, dtype: np.dtype[Any]) -> None:
        self.grid = grid
        self.reduce = reduce
        self.dtype = dtype
        self._parts = {
            name: np.full(grid.bins, start, kind)
            for name, (_, start, kind) in _parts(reduce, dtype).items()
        }

    @property
    def nbytes(self) -> int:
        """Bytes that the bins take."""
        return sum(part.nbytes for part in self._parts.values())

    def put(self, first: Shape, shape: Shape, folded: dict[str, Values]) -> None:
        """Combine what `fold_box` made of a box with what is there."""
        place = self.grid.touched(first, shape)
        for name, (ufunc, _, _) in _parts(self.reduce, self.dtype).items():
            if name not in folded:
                continue
            if name != "picked":
                there = self._parts[name][place]
                ufunc(there, folded[name], out=there)
            else:
                self._parts[name][_picks(self.grid, first, shape)[1]] = folded[name]

    def fold_box(self, values: Values, first: Shape, *, clean: bool) -> dict[str, Values]:
        """Reduce a box of items.

        Where ``clean`` says that none of them is NaN, a bin of which one is NaN is NaN.
        """
        widths, made = self.grid.widths, {}
        for name, (ufunc, _, kind) in _parts(self.reduce, self.dtype).items():
            if name == "picked":
                made[name] = values[_picks(self.grid, first, values.shape)[0]]
            elif name == "count" and clean:
                made[name] = _counts(first, values.shape, widths)
            elif name == "count":
                made[name] = fold(ufunc, ~np.isnan(values), first, widths, kind)
            elif name == "total":
                known = values if clean else np.where(np.isnan(values), 0, values)
                made[name] = fold(ufunc, known, first, widths, kind)
            else:
                made[name] = fold(_STRICT[ufunc] if clean else ufunc, values, first, widths)
        return made

    def result(self) -> Values:
        """Return the reduced array; that of `minmax` has one more axis, of two."""
        parts = self._parts
        if self.reduce == "minmax":
            return np.stack([parts["low"], parts["high"]], -1)
        if self.reduce == "mean":
            with np.errstate(invalid="ignore"):
                return (parts["total"] / parts["count"]).astype(mean_dtype(self.dtype))
        (only,) = parts.values()
        return only


def mean_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of means: single precision for what has no more, double for the rest."""
    return np.dtype(np.float32 if dtype == np.float32 else np.float64)


def _parts(reduce: Reduce, dtype: np.dtype[Any]) -> dict[str, tuple[np.ufunc, Any, Any]]:
    """Name what is kept of each bin, with the function that combines it, its start and dtype."""
    floating = dtype.kind == "f"
    bounds: Any = np.finfo(dtype) if floating else np.iinfo(dtype)
    low = (np.fmin, np.nan if floating else bounds.max, dtype)
    high = (np.fmax, np.nan if floating else bounds.min, dtype)
    found: dict[str, dict[str, tuple[np.ufunc, Any, Any]]] = {
        "minmax": {"low": low, "high": high},
        "min": {"low": low},
        "max": {"high": high},
        "mean": {"total": (np.add, 0, np.float64), "count": (np.add, 0, np.float64)},
        "nearest": {"picked": (np.fmax, 0, dtype)},
    }
    return found[reduce]


def _counts(first: Shape, shape: Shape, widths: Shape) -> Values:
    """Return the number of items of a box in each bin that the box touches."""
    counts: Values = np.ones((), np.float64)
    for at, n, width in zip(first, shape, widths, strict=True):
        edges = np.arange(at // width, -(-(at + n) // width) + 1) * width
        along = np.diff(np.clip(edges, at, at + n)).astype(np.float64)
        counts = counts[..., None] * along
    return counts


def _picks(grid: Grid, first: Shape, shape: Shape) -> tuple[Any, Any]:
    """Return the items of a box that stand for their bins, and these bins, as numpy's indices."""
    items, bins = [], []
    for at, n, width, size in zip(first, shape, grid.widths, grid.shape, strict=True):
        numbers = np.arange(at // width, -(-(at + n) // width))
        middle = np.minimum(numbers * width + width // 2, size - 1)
        inside = (at <= middle) & (middle < at + n)
        items.append(middle[inside] - at)
        bins.append(numbers[inside])
    return np.ix_(*items), np.ix_(*bins)


def runs(size: int, run: int, count: int) -> Iterable[range]:
    """Spread ``count`` runs of ``run`` items evenly over an axis, each at a multiple of ``run``."""
    cells = max(1, min(count, -(-size // max(run, 1))))
    for n in range(cells):
        middle = (2 * n + 1) * size // (2 * cells)
        start = min(middle // run * run, max(0, size - run))
        yield range(start, min(start + run, size))
