"""Incremental reductions: numpy's results up to the order of additions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from caterva2.compute.functions import REDUCTIONS
from caterva2.compute.syntax import Reduction
from caterva2.errors import BadExpression

Values = npt.NDArray[Any]
Where = tuple[slice, ...]
DType = np.dtype[Any]
_UFUNCS: dict[str, np.ufunc] = {
    "sum": np.add, "prod": np.multiply, "min": np.minimum, "max": np.maximum,
    "any": np.logical_or, "all": np.logical_and, "count_nonzero": np.add,
}  # fmt: skip


def result_dtype(
    reduction: Reduction, dtype: DType, shape: tuple[int, ...], axes: tuple[int, ...]
) -> DType:
    """Return the dtype of a reduction's result.

    Raises
    ------
    BadExpression
        If the reduction is not defined for this dtype and shape.
    """
    name = reduction.function
    if name in ("mean", "std", "var") and dtype.kind in "mM":
        raise BadExpression(f"Runtime error: {name} of times is not computed")
    if name in ("min", "max", "argmin", "argmax") and any(shape[axis] == 0 for axis in axes):
        raise BadExpression(f"Runtime error: {name} of nothing: the shape is {list(shape)}")
    with np.errstate(all="ignore"):
        try:
            return np.asarray(REDUCTIONS[name](np.ones(1, dtype))).dtype
        except (TypeError, ValueError) as error:
            raise BadExpression(f"Runtime error: {name}: {error}") from None


class Accumulator(ABC):
    """State of a reduction to which parts of the array are added.

    Parameters
    ----------
    reduction : Reduction
    axes : tuple of int
        The reduced axes.
    shape : tuple of int
        Of the whole array.
    dtype : numpy.dtype
        Of the result.
    """

    def __init__(
        self, reduction: Reduction, axes: tuple[int, ...], shape: tuple[int, ...], dtype: DType
    ) -> None:
        self._axes = axes
        self._shape = shape
        self._kept = tuple(1 if n in axes else size for n, size in enumerate(shape))
        self._dtype = dtype
        self._name = reduction.function
        self._ddof = reduction.ddof

    def add(self, values: Values, where: Where) -> None:
        """Add the values of a part at the place ``where`` in the whole."""
        with np.errstate(all="ignore"):
            self._take(values, where)

    def merge(self, part: Self, where: Where) -> None:
        """Add what another accumulator took of the part at the place ``where`` in the whole."""
        with np.errstate(all="ignore"):
            self._join(part, where)

    def finish(self) -> Values:
        """Return the result, in which each reduced axis has one item."""
        with np.errstate(all="ignore"):
            return self._result()

    @abstractmethod
    def _take(self, values: Values, where: Where) -> None: ...

    @abstractmethod
    def _join(self, part: Self, where: Where) -> None: ...

    @abstractmethod
    def _result(self) -> Values: ...

    def _place(self, where: Where) -> Where:
        return tuple(slice(0, 1) if n in self._axes else part for n, part in enumerate(where))


class _Folded(Accumulator):
    """Reductions by one ufunc: sums, products, extremes, any and all."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._ufunc = _UFUNCS[self._name]
        identity = self._ufunc.identity
        self._total = np.full(self._kept, 0 if identity is None else identity, self._dtype)
        self._seen = np.zeros(self._kept, bool)

    def _take(self, values: Values, where: Where) -> None:
        if self._name == "count_nonzero":
            values = values != np.zeros((), values.dtype)
        place = self._place(where)
        dtype = None if self._dtype.kind in "mM" else self._dtype  # units can't be given
        self._fold(self._ufunc.reduce(values, self._axes, dtype, keepdims=True), place)

    def _join(self, part: Self, where: Where) -> None:
        self._fold(part._total, self._place(where))

    def _fold(self, part: Values, place: Where) -> None:
        total = self._ufunc(self._total[place], part)
        self._total[place] = np.where(self._seen[place], total, part)
        self._seen[place] = True

    def _result(self) -> Values:
        return self._total


class _Moments(Accumulator):
    """Means, variances and standard deviations, merged by the formula of Chan et al."""

    def __init__(self, *given: Any, source: DType) -> None:
        super().__init__(*given)
        exact = np.result_type(source, np.complex128 if source.kind == "c" else np.float64)
        self._count = np.zeros(self._kept, np.int64)
        self._total = np.zeros(self._kept, exact)
        self._squares = np.zeros(self._kept, self._total.real.dtype)

    def _take(self, values: Values, where: Where) -> None:
        place = self._place(where)
        values = values.astype(self._total.dtype, copy=False)
        total = values.sum(self._axes, keepdims=True)
        count = values.size // total.size
        squares = None
        if self._name != "mean":
            squares = _squared(values - total / count).sum(self._axes, keepdims=True)
        self._add(count, total, squares, place)

    def _join(self, part: Self, where: Where) -> None:
        self._add(part._count, part._total, part._squares, self._place(where))

    def _add(
        self, count: int | Values, total: Values, squares: Values | None, place: Where
    ) -> None:
        before = self._count[place]
        if squares is not None:
            distance = total / count - self._total[place] / before
            between = _squared(distance) * (before / (before + count) * count)
            self._squares[place] += squares + np.where(before > 0, between, 0)
        self._total[place] += total
        self._count[place] += count

    def _result(self) -> Values:
        if self._name == "mean":
            return (self._total / self._count).astype(self._dtype)
        found = self._squares / np.maximum(self._count - self._ddof, 0)
        return (np.sqrt(found) if self._name == "std" else found).astype(self._dtype)


def _squared(values: Values) -> Values:
    found = values.real**2 + values.imag**2 if values.dtype.kind == "c" else values**2
    return cast("Values", found)


class _Positions(Accumulator):
    """Position of the first largest or smallest item; NaN and NaT count as such, as in numpy."""

    def __init__(self, *given: Any, source: DType) -> None:
        super().__init__(*given)
        self._best = np.zeros(self._kept, source)
        self._at = np.full(self._kept, -1, np.int64)
        self._find = REDUCTIONS[self._name]
        self._exceeds = np.greater if self._name == "argmax" else np.less

    def _take(self, values: Values, where: Where) -> None:
        place = self._place(where)
        if len(self._axes) == len(self._shape):
            inside = np.unravel_index(int(self._find(values)), values.shape)
            best = np.asarray(values[inside]).reshape(self._best[place].shape)
            starts = [part.start for part in where]
            found: Any = [int(n) + start for n, start in zip(inside, starts, strict=True)]
            flat = np.ravel_multi_index(found, self._shape) if found else 0
            at = np.full(best.shape, flat, np.int64)
        else:
            [axis] = self._axes
            inside_axis = self._find(values, axis, keepdims=True)
            best = np.take_along_axis(values, inside_axis, axis)
            at = inside_axis + where[axis].start
        self._choose(best, at, place)

    def _join(self, part: Self, where: Where) -> None:
        at, starts = part._at, [part.start for part in where]
        if len(self._axes) == len(self._shape):
            inside = np.unravel_index(at, part._shape)
            found: Any = [n + start for n, start in zip(inside, starts, strict=True)]
            at = np.asarray(np.ravel_multi_index(found, self._shape) if found else at)
        else:
            at = at + starts[self._axes[0]]
        self._choose(part._best, at, self._place(where))

    def _choose(self, best: Values, at: Values, place: Where) -> None:
        old, known = self._best[place], self._at[place]
        undefined, old_undefined = np.not_equal(best, best), np.not_equal(old, old)
        more = np.where(
            undefined | old_undefined, undefined & ~old_undefined, self._exceeds(best, old)
        )
        same = (best == old) | (undefined & old_undefined)
        better = (known < 0) | more | (same & (at < known))
        self._best[place] = np.where(better, best, old)
        self._at[place] = np.where(better, at, known)

    def _result(self) -> Values:
        return self._at


def accumulator(
    reduction: Reduction,
    axes: tuple[int, ...],
    shape: tuple[int, ...],
    dtype: DType,
    source: DType,
) -> Accumulator:
    """Return the accumulator for a reduction of an array of a shape and dtype, ``source``."""
    given = reduction, axes, shape, dtype
    if reduction.function in _UFUNCS:
        return _Folded(*given)
    kind = _Positions if reduction.function.startswith("arg") else _Moments
    return kind(*given, source=source)
