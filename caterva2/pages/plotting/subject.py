"""What there is to plot of an array: its numbers, and the kinds of plots that fit them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from caterva2.arrays import dtypes
from caterva2.errors import BadMessage
from caterva2.frames import attributes
from caterva2.model import DatasetInfo

KINDS: Final = {
    "heatmap": "Heat map",
    "image": "Colours",
    "line": "Line",
    "scatter": "Scatter",
    "histogram": "Histogram",
}
PARTS: Final = {"abs": "Magnitude", "angle": "Phase", "real": "Real part", "imag": "Imaginary part"}
_COLUMNS = 1024
"""Of a table of numbers, up to which two can be chosen for a scatter plot."""


@dataclass(frozen=True)
class Subject:
    """An array as plots see it.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    dims : tuple of str or None
        Names of the axes; empty if there are none.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dims: tuple[str | None, ...] = ()

    @classmethod
    def of(cls, info: DatasetInfo) -> Subject | None:
        """Return what there is to plot of a dataset; None if nothing is."""
        if info.kind != "array" or not info.shape:
            return None
        try:
            dtype = dtypes.parse(info.dtype)
        except BadMessage:
            return None
        made = cls(info.shape, dtype, tuple(attributes.dims(info)))
        return made if is_number(dtype) or made.fields else None

    @property
    def axes(self) -> range:
        """The numbers of the axes."""
        return range(len(self.shape))

    @cached_property
    def fields(self) -> dict[str, np.dtype[Any]]:
        """The fields of a record that are numbers; empty if the items are no records."""
        names = self.dtype.names or ()
        return {name: self.dtype[name] for name in names if is_number(self.dtype[name])}

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The plots that fit; the first one is shown unless another one is chosen."""
        found = []
        if len(self.shape) > 1:
            is_line = 1 in self.shape[-2:]
            found = ["line", "heatmap"] if is_line else ["heatmap", "line"]
            if self._is_colour:
                found.insert(0, "image")
        else:
            found = ["line"]
        if len(self.fields) > 1 or (len(self.shape) > 1 and not self.fields):
            found.append("scatter")
        return (*found, "histogram")

    @property
    def _is_colour(self) -> bool:
        return len(self.shape) > 2 and self.shape[-1] in (3, 4) and self.dtype == np.uint8

    def label(self, axis: int) -> str:
        """Return the name of an axis as the page shows it."""
        name = self.dims[axis] if axis < len(self.dims) else None
        return f"{name} (axis {axis})" if name else f"axis {axis}"

    def name(self, axis: int) -> str:
        """Return the name of an axis alone if no other one has it; else its label."""
        name = self.dims[axis] if axis < len(self.dims) else None
        return name if name and self.dims.count(name) == 1 else self.label(axis)

    def is_complex(self, field: str) -> bool:
        """Return whether the items, or those of a field, are complex numbers."""
        return (self.fields[field] if field else self.dtype).kind == "c"

    def columns(self, axis: int | None) -> list[str]:
        """Return what a scatter plot can have along its axes: fields, or places along an axis."""
        if self.fields:
            return list(self.fields)
        return [] if axis is None else [str(n) for n in range(min(self.shape[axis], _COLUMNS))]


def is_number(dtype: np.dtype[Any]) -> bool:
    """Return whether values of a dtype can be drawn, dates and durations included."""
    return dtype.subdtype is None and dtype.kind in "biufcMm"
