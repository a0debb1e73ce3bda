"""Values as numbers that can be binned and drawn: of any numeric dtype, and parts of complex ones.

Dates and time differences become counts of their unit, in double precision with NaN for NaT;
booleans become 0 and 1; half precision becomes single, long doubles become double.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from caterva2.arrays import dtypes
from caterva2.errors import BadSelection

Values = npt.NDArray[Any]
Part = Literal["", "abs", "angle", "real", "imag"]
"""Real numbers that are made of complex ones; the default is the absolute value."""
_NAT = np.iinfo(np.int64).min


def number_dtype(dtype: np.dtype[Any], part: Part = "") -> np.dtype[Any]:
    """Return the dtype of the numbers that `numbers` makes.

    Raises
    ------
    BadSelection
        If values of that dtype are no numbers, or have no such part.
    """
    if dtype.kind not in "biufcMm":
        what = "structured: name one of its fields" if dtype.fields else "no numbers"
        raise BadSelection(f"values of dtype {dtypes.display(dtype)[:200]} are {what}")
    if part and dtype.kind != "c":
        raise BadSelection(f"part={part!r} is for complex numbers, not for {dtype}")
    if dtype.kind in "iu":
        return dtype.newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    single = (dtype.itemsize <= 4 and dtype.kind == "f") or dtype == np.complex64
    return np.dtype(np.float32 if single else np.float64)


def numbers(values: Values, part: Part = "") -> Values:
    """Return values as numbers, in memory in C order."""
    dtype = number_dtype(values.dtype, part)
    if values.dtype.kind in "Mm":
        counts = values.view(f"{values.dtype.str[0]}i8")
        return np.where(counts == _NAT, np.nan, counts.astype(np.float64))
    if values.dtype.kind == "b":
        return np.ascontiguousarray(values).view(np.uint8)
    if values.dtype.kind == "c":
        with np.errstate(over="ignore", invalid="ignore"):
            values = _part(values, part or "abs")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype)


def _part(values: Values, part: Part) -> Values:
    if part == "angle":
        return np.angle(values)
    if part == "abs":
        return np.abs(values)
    return values.real if part == "real" else values.imag
