"""Terms: the text of an expression with its operands in their places, and how terms are joined."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Final

import numpy as np

from caterva2.errors import BadRequest, BadSelection

UFUNCS: Final = {
    "absolute": "abs", "conjugate": "conj", "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift",
} | {
    name: name
    for name in (
        "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
        "bitwise_and", "bitwise_or", "bitwise_xor", "ceil", "copysign", "cos", "cosh", "divide",
        "equal", "exp", "expm1", "floor", "floor_divide", "greater", "greater_equal", "hypot",
        "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log10", "log1p", "log2",
        "logaddexp", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum",
        "minimum", "multiply", "negative", "nextafter", "not_equal", "positive", "power",
        "reciprocal", "remainder", "sign", "signbit", "sin", "sinh", "sqrt", "square",
        "subtract", "tan", "tanh", "trunc",
    )
}  # fmt: skip
"""Functions of expressions by the names of numpy's universal functions."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operand stands.

    Parameters
    ----------
    urlbase : str
        Its subscriber.
    path : str
        With the root.
    etag : str
        The version of a pinned dataset; empty for the newest one.
    """

    urlbase: str
    path: str
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Term:
    """An expression.

    Parameters
    ----------
    parts : tuple of str and Place
        Its text, with places instead of the names of operands.
    """

    parts: tuple[str | Place, ...]

    @property
    def operands(self) -> dict[str, str]:
        """Paths of the operands by their names, in the order in which they appear."""
        return {name: place.path for place, name in self._names.items()}

    @property
    def etags(self) -> dict[str, str]:
        """Versions of pinned operands by their names."""
        return {name: place.etag for place, name in self._names.items() if place.etag}

    @property
    def text(self) -> str:
        """The whole text."""
        names = self._names
        return "".join(part if isinstance(part, str) else names[part] for part in self.parts)

    @property
    def _names(self) -> dict[Place, str]:
        places = dict.fromkeys(part for part in self.parts if isinstance(part, Place))
        return {place: f"o{n}" for n, place in enumerate(places)}


def joined(*parts: str | Term) -> Term:
    """Join pieces of text and terms, all of one subscriber.

    Raises
    ------
    BadRequest
        If the operands are of several subscribers.
    """
    made: list[str | Place] = []
    for part in parts:
        made += [part] if isinstance(part, str) else part.parts
    servers = {part.urlbase for part in made if isinstance(part, Place)}
    if len(servers) > 1:
        raise BadRequest(f"operands are of several subscribers: {', '.join(sorted(servers))}")
    return Term(tuple(made))


def number(value: object) -> Term | None:
    """Return a number as a term, those of numpy as Python's; None for anything else."""
    if isinstance(value, np.bool_ | np.number):
        value = value.item()
    if not isinstance(value, numbers.Number) or not isinstance(value, int | float | complex):
        return None
    text = repr(value)  # also nan, inf and (1+2j)
    return Term((f"({text})" if text.startswith("-") else text,))


def subscript(term: Term, key: Any) -> Term:
    """Return a slice of a term, by integers, slices and ``...``.

    Raises
    ------
    BadSelection
        If there is anything else in the key.
    """
    entries = key if isinstance(key, tuple) else (key,)
    if not entries:
        return term
    return joined(term, f"[{', '.join(map(_entry, entries))}]")


def _entry(entry: Any) -> str:
    match entry:
        case EllipsisType():
            return "..."
        case bool():
            pass
        case slice():
            bounds = (entry.start, entry.stop, entry.step)
            return ":".join("" if bound is None else _integer(bound) for bound in bounds)
        case int() | np.integer():
            return _integer(entry)
    raise BadSelection(
        f"{type(entry).__name__} in the key of an expression: use integers, slices and ..., or "
        "read it first"
    )


def _integer(value: Any) -> str:
    try:
        return str(value.__index__())
    except AttributeError:
        raise BadSelection(f"{value!r} in the key of an expression is no integer") from None
