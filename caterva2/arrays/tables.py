r"""Rows of tables: conditions on columns, and orders.

A filter is one condition or several, joined by ``&`` or ``and``: a name, one of
``== = != < <= > >=``, and a value. Names and values with other characters than letters, digits and
``_ . + - :`` are written in quotes, with a backslash before a quote or backslash.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.arrays import dtypes
from caterva2.errors import BadRequest

Values = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Test = Callable[[Values], Mask]
LENGTH = 2000
"""Characters of a filter."""
CONDITIONS = 20
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "=": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_WORD = r"""(?:[\w.+:-]+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_CONDITION = re.compile(
    rf"\s*(?P<name>{_WORD})\s*(?P<op>==|=|!=|<=|>=|<|>)\s*(?P<value>{_WORD})\s*"
)
_AND = re.compile(r"&&?|and\b")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_SPECIAL = {"nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf,
            "infinity": math.inf, "-infinity": -math.inf}  # fmt: skip
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_DATE = re.compile(
    r"[-+]?[0-9]{4,6}(-[0-9]{2}){0,2}([T ][0-9]{2}(:[0-9]{2}){0,2}(\.[0-9]{1,18})?)?"
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a column with a value, which is a text until the column's dtype is known."""

    name: str
    op: str
    value: str

    def test(self, dtype: np.dtype[Any]) -> Test:
        """Return what says of which values of a dtype the condition holds.

        NaN and NaT equal each other here, and no comparison of order holds for them.

        Raises
        ------
        BadRequest
            If such values are not compared, or the value is none of them.
        """
        compare, value = _OPERATORS[self.op], self._typed(dtype)
        missing = value is None
        if missing and compare not in (operator.eq, operator.ne):
            raise BadRequest(f"filter: {self.value!r} is neither more nor less than others")

        def holds(values: Values) -> Mask:
            if missing:
                found = np.isnat(values) if dtype.kind in "mM" else np.isnan(values)
                return found if compare is operator.eq else ~found
            try:
                with np.errstate(invalid="ignore"):
                    made: Mask = np.asarray(compare(values, value), np.bool_)
            except (TypeError, OverflowError) as error:  # of dates far away, or without a unit
                shown = dtypes.display(dtype)
                raise BadRequest(f"filter: {self.value[:80]!r} and {shown}: {error}") from None
            return made

        return holds

    def _typed(self, dtype: np.dtype[Any]) -> Any:
        """Return the value as values of a dtype are compared with it; None for NaN and NaT."""
        try:
            return _PARSERS[dtype.kind if dtype.subdtype is None else ""](self.value, dtype)
        except KeyError:
            shown = dtypes.display(dtype)[:100]
            raise BadRequest(f"filter: values of dtype {shown} are not compared") from None
        except ValueError:
            raise BadRequest(f"filter: {self.value[:80]!r} is no {dtype}") from None


def conditions(text: str) -> tuple[Condition, ...]:
    """Parse a filter.

    Raises
    ------
    BadRequest
        If it is malformed, or has too many conditions.
    """
    if len(text) > LENGTH:
        raise BadRequest(f"filter has {len(text)} characters, at most {LENGTH} are read")
    found: list[Condition] = []
    at = 0
    while True:
        match = _CONDITION.match(text, at)
        if match is None:
            raise BadRequest(
                f"filter: {text[at : at + 40]!r} is no condition such as n > 5, or 'a b' == c"
            )
        found.append(Condition(_plain(match["name"]), match["op"], _plain(match["value"])))
        if match.end() == len(text):
            break
        joint = _AND.match(text, match.end())
        if joint is None:
            raise BadRequest(f"filter: {text[match.end() :][:40]!r} does not begin with & or and")
        at = joint.end()
    if len(found) > CONDITIONS:
        raise BadRequest(f"filter has {len(found)} conditions, at most {CONDITIONS} are taken")
    return tuple(found)


def _plain(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL) if word[0] in "'\"" else word


def order(values: Values, *, backwards: bool) -> npt.NDArray[np.int64]:
    """Return the numbers of rows in the order of their values, NaN and NaT last.

    Rows with equal values stay in their order.

    Raises
    ------
    BadRequest
        If values of this dtype have no order.
    """
    if values.dtype.kind not in "biufSUmM" or values.ndim != 1:
        raise BadRequest(
            f"sort: values of dtype {dtypes.display(values.dtype)[:100]} have no order"
        )
    if not backwards:
        return np.argsort(values, kind="stable")
    # Stable from the end, then reversed: equal values are in their order again.
    found = len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1]
    if values.dtype.kind not in "fmM":
        return found
    missing = np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)
    last = missing[found]
    return np.concatenate([found[~last], found[last]])


def _truth(text: str, _: np.dtype[Any]) -> bool:
    if text.lower() not in _TRUTHS:
        raise ValueError
    return _TRUTHS[text.lower()]


def _number(text: str, dtype: np.dtype[Any]) -> Any:
    if text.lower() in _SPECIAL:
        number = _SPECIAL[text.lower()]
        return None if math.isnan(number) and dtype.kind == "f" else number
    if not _NUMBER.fullmatch(text):
        raise ValueError
    # An integer of more digits is beyond all doubles.
    return int(text) if re.fullmatch(r"[-+]?[0-9]{1,300}", text) else float(text)


def _of_integers(text: str, dtype: np.dtype[Any]) -> Any:
    number = _number(text, dtype)
    if math.isnan(number):
        raise ValueError
    # An integer is compared exactly; a double could equal its neighbours.
    return int(number) if math.isfinite(number) and number == int(number) else float(number)


def _of_floats(text: str, dtype: np.dtype[Any]) -> Any:
    number = _number(text, dtype)
    if number is None or dtype.itemsize >= 8:
        return number if number is None else float(number)
    with np.errstate(over="ignore"):
        return dtype.type(number)  # so that 0.1 equals what is shown as 0.1


def _of_dates(text: str, _: np.dtype[Any]) -> Any:
    if text.lower() == "nat":
        return None
    if not _DATE.fullmatch(text):
        raise ValueError
    return np.datetime64(text)


def _of_differences(text: str, dtype: np.dtype[Any]) -> Any:
    if text.lower() == "nat":
        return None
    if not re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        raise ValueError
    return np.array(int(text), np.int64).view(dtype.newbyteorder("="))[()]


_PARSERS: dict[str, Callable[[str, np.dtype[Any]], Any]] = {
    "b": _truth,
    "i": _of_integers,
    "u": _of_integers,
    "f": _of_floats,
    "M": _of_dates,
    "m": _of_differences,
    "U": lambda text, _: text,
    "S": lambda text, _: text.encode(),
}
