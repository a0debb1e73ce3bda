"""Operators, functions of numpy and reductions of remote arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from caterva2.client.lazy.term import UFUNCS, Term, joined, number
from caterva2.errors import BadRequest

Axis = int | tuple[int, ...] | None


class Arithmetic(ABC):
    """Operators and functions whose results are expressions, for which nothing is requested.

    Operands are remote arrays of one subscriber, and numbers, which count as Python's: they adapt
    to the dtype of the array. With an array in memory numpy computes here, and reads everything.
    """

    @property
    @abstractmethod
    def _term(self) -> Term:
        """The array as a term."""

    @abstractmethod
    def _expression(self, term: Term) -> Any:
        """Return the expression of a term."""

    def _binary(self, operator: str, other: object, *, swapped: bool = False) -> Any:
        term = other._term if isinstance(other, Arithmetic) else number(other)
        if term is None:
            return NotImplemented
        left, right = (term, self._term) if swapped else (self._term, term)
        return self._expression(joined("(", left, f" {operator} ", right, ")"))

    def _unary(self, operator: str) -> Any:
        return self._expression(joined(f"({operator}", self._term, ")"))

    def _call(self, function: str, *arguments: str | Term) -> Any:
        parts: list[str | Term] = []
        for argument in arguments:
            parts += [", ", argument] if parts else [argument]
        return self._expression(joined(f"{function}(", *parts, ")"))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Make an expression of a function of remote arrays and numbers; else compute here."""
        name = UFUNCS.get(ufunc.__name__)
        terms = [one._term if isinstance(one, Arithmetic) else number(one) for one in inputs]
        known = [term for term in terms if term is not None]
        if name and method == "__call__" and not options and len(known) == len(terms):
            return self._call(name, *known)
        here = [np.asarray(one) if isinstance(one, Arithmetic) else one for one in inputs]
        return getattr(ufunc, method)(*here, **options)

    def __add__(self, other: object) -> Any:
        return self._binary("+", other)

    def __radd__(self, other: object) -> Any:
        return self._binary("+", other, swapped=True)

    def __sub__(self, other: object) -> Any:
        return self._binary("-", other)

    def __rsub__(self, other: object) -> Any:
        return self._binary("-", other, swapped=True)

    def __mul__(self, other: object) -> Any:
        return self._binary("*", other)

    def __rmul__(self, other: object) -> Any:
        return self._binary("*", other, swapped=True)

    def __truediv__(self, other: object) -> Any:
        return self._binary("/", other)

    def __rtruediv__(self, other: object) -> Any:
        return self._binary("/", other, swapped=True)

    def __floordiv__(self, other: object) -> Any:
        return self._binary("//", other)

    def __rfloordiv__(self, other: object) -> Any:
        return self._binary("//", other, swapped=True)

    def __mod__(self, other: object) -> Any:
        return self._binary("%", other)

    def __rmod__(self, other: object) -> Any:
        return self._binary("%", other, swapped=True)

    def __pow__(self, other: object) -> Any:
        return self._binary("**", other)

    def __rpow__(self, other: object) -> Any:
        return self._binary("**", other, swapped=True)

    def __and__(self, other: object) -> Any:
        return self._binary("&", other)

    def __rand__(self, other: object) -> Any:
        return self._binary("&", other, swapped=True)

    def __or__(self, other: object) -> Any:
        return self._binary("|", other)

    def __ror__(self, other: object) -> Any:
        return self._binary("|", other, swapped=True)

    def __xor__(self, other: object) -> Any:
        return self._binary("^", other)

    def __rxor__(self, other: object) -> Any:
        return self._binary("^", other, swapped=True)

    def __lshift__(self, other: object) -> Any:
        return self._binary("<<", other)

    def __rshift__(self, other: object) -> Any:
        return self._binary(">>", other)

    def __lt__(self, other: object) -> Any:
        return self._binary("<", other)

    def __le__(self, other: object) -> Any:
        return self._binary("<=", other)

    def __gt__(self, other: object) -> Any:
        return self._binary(">", other)

    def __ge__(self, other: object) -> Any:
        return self._binary(">=", other)

    def __neg__(self) -> Any:
        return self._unary("-")

    def __pos__(self) -> Any:
        return self._unary("+")

    def __invert__(self) -> Any:
        return self._unary("~")

    def __abs__(self) -> Any:
        return self._call("abs", self._term)


class Reducing(Arithmetic):
    """Reductions that the subscriber computes: only the result is transferred.

    They have numpy's parameters. ``dtype`` and ``out`` are there since numpy's functions, such as
    `numpy.mean`, hand them over; they have to be None.
    """

    @abstractmethod
    def _computed(self, term: Term) -> Any:
        """Return the values of a term; an awaitable of them where reads are awaited."""

    def _reduced(
        self, function: str, axis: Axis, dtype: object, out: object, keepdims: bool, ddof: int = 0
    ) -> Any:
        if dtype is not None or out is not None:
            raise BadRequest(
                f"{function} of a remote array takes neither dtype nor out: read the array first"
            )
        options = [f"axis={_axes(axis)}"] if axis is not None else []
        options += ["keepdims=True"] if keepdims else []
        options += [f"ddof={_integer(ddof)}"] if ddof else []
        return self._computed(joined(f"{function}(", self._term, *(f", {o}" for o in options), ")"))

    def sum(
        self, axis: Axis = None, dtype: None = None, out: None = None, keepdims: bool = False
    ) -> Any:
        """Return the sum along some axes, or of all items."""
        return self._reduced("sum", axis, dtype, out, keepdims)

    def prod(
        self, axis: Axis = None, dtype: None = None, out: None = None, keepdims: bool = False
    ) -> Any:
        """Return the product along some axes, or of all items."""
        return self._reduced("prod", axis, dtype, out, keepdims)

    def mean(
        self, axis: Axis = None, dtype: None = None, out: None = None, keepdims: bool = False
    ) -> Any:
        """Return the mean along some axes, or of all items."""
        return self._reduced("mean", axis, dtype, out, keepdims)

    def std(
        self, axis: Axis = None, dtype: None = None, out: None = None, ddof: int = 0,
        keepdims: bool = False,
    ) -> Any:  # fmt: skip
        """Return the standard deviation along some axes, or of all items."""
        return self._reduced("std", axis, dtype, out, keepdims, ddof)

    def var(
        self, axis: Axis = None, dtype: None = None, out: None = None, ddof: int = 0,
        keepdims: bool = False,
    ) -> Any:  # fmt: skip
        """Return the variance along some axes, or of all items."""
        return self._reduced("var", axis, dtype, out, keepdims, ddof)

    def min(self, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
        """Return the smallest items along some axes, or of all."""
        return self._reduced("min", axis, None, out, keepdims)

    def max(self, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
        """Return the largest items along some axes, or of all."""
        return self._reduced("max", axis, None, out, keepdims)

    def any(self, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
        """Return whether some item along the axes is true."""
        return self._reduced("any", axis, None, out, keepdims)

    def all(self, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
        """Return whether all items along the axes are true."""
        return self._reduced("all", axis, None, out, keepdims)

    def argmin(self, axis: int | None = None, out: None = None, keepdims: bool = False) -> Any:
        """Return the positions of the smallest items along an axis, or of the flat array."""
        return self._reduced("argmin", axis, None, out, keepdims)

    def argmax(self, axis: int | None = None, out: None = None, keepdims: bool = False) -> Any:
        """Return the positions of the largest items along an axis, or of the flat array."""
        return self._reduced("argmax", axis, None, out, keepdims)


def _axes(axis: Axis) -> str:
    if isinstance(axis, tuple):
        inside = "".join(f"{_integer(one)}, " for one in axis)
        return f"({inside})"
    return _integer(axis)


def _integer(value: Any) -> str:
    try:
        return str(value.__index__())
    except (AttributeError, TypeError):
        raise BadRequest(f"{value!r} is no integer") from None
