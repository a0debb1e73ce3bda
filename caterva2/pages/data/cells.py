"""Values as the text of cells, as numpy writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_SHOWN = 200
"""Characters of a cell."""
_ITEMS = 16
"""Items of an array within a cell."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of a value, and how it is shown: a number, text, or nothing (not a number)."""

    text: str
    style: str


def cell(value: Any) -> Cell:
    """Make the cell of a value, which is a scalar of numpy or a subarray of a record."""
    kind = value.dtype.kind
    style = "t"
    if isinstance(value, np.generic) and kind in "iufcmM":
        style = "n" if value == value else "x"  # NaN and NaT are not
    shown = text(value)
    return Cell(shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…", style)


def text(value: Any) -> str:
    """Return the text of a value: every digit of an integer, and the shortest of a float."""
    if isinstance(value, np.ndarray):
        flat = [text(item) for item in value.ravel()[:_ITEMS]]
        return "[" + ", ".join(flat) + (", …]" if value.size > _ITEMS else "]")
    if isinstance(value, np.void):
        if value.dtype.names is None:
            return value.tobytes().hex(" ")
        return "(" + ", ".join(text(value[name]) for name in value.dtype.names) + ")"
    if isinstance(value, np.bytes_):
        return repr(bytes(value))
    return str(value)
