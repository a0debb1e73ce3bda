r"""Items of numpy's dtypes as plain JSON, as browsers, spreadsheets and people read them.

Numbers are numbers wherever JSON and JavaScript have them: ``"NaN"``, ``"Infinity"``,
``"-Infinity"`` and integers beyond 2^53 are texts, complex numbers are pairs, records are
dictionaries. A float has the fewest digits that tell it from its neighbours of its own dtype. Dates
are ISO 8601, time differences are numbers of their units, both may be ``"NaT"``. Bytes are text,
with ``\\`` for a backslash and ``\xff`` for what is not UTF-8; those of unstructured voids are
hexadecimal. `caterva2.arrays.json_items` is the form without loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from caterva2.arrays.json_items import nest

Array = npt.NDArray[Any]
DType = np.dtype[Any]
LARGEST: Final = 2**53 - 1
"""The largest integer that JavaScript has exactly, with all smaller ones."""
_REPLACEMENT, _SURROGATES, _UNICODE = 0xFFFD, (0xD800, 0xDFFF), 0x10FFFF


def nested(values: Array) -> Any:
    """Return values as lists within lists; the only one where there is no axis."""
    return nest(items(values), values.shape)


def items(values: Array) -> list[Any]:
    """Return the items of an array, in C order."""
    return _BY_KIND[values.dtype.kind](np.ascontiguousarray(values).reshape(-1))


def leaves(dtype: DType) -> int:
    """Return how many plain items an item of a dtype consists of."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return math.prod(shape) * leaves(base)
    if dtype.names is not None:
        return sum(leaves(dtype[name]) for name in dtype.names)
    return 1


def real(value: float) -> Any:
    """Return a float, or its name where JSON has none."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _plain(values: Array) -> list[Any]:
    found: list[Any] = values.tolist()
    return found


def _integers(values: Array) -> list[Any]:
    found: list[Any] = values.tolist()
    if values.dtype.itemsize < 8:
        return found
    return [n if -LARGEST <= n <= LARGEST else str(n) for n in found]


def _floats(values: Array) -> list[Any]:
    if values.dtype.itemsize > 8:
        return [_long(value) for value in values]
    if values.dtype.itemsize < 8:  # a double of them has digits that they do not have
        found = [float(text) for text in values.astype("U")]
    else:
        found = values.tolist()
    return found if np.isfinite(values).all() else [real(value) for value in found]


def _long(value: Any) -> Any:
    """Return a long double as a double if it is one, else with all of its digits."""
    with np.errstate(over="ignore"):
        double = float(value)
    exact = np.isnan(value) or np.isinf(value) or np.longdouble(double) == value
    return real(double) if exact else str(value)


def _pairs(values: Array) -> list[Any]:
    return [list(pair) for pair in zip(_floats(values.real), _floats(values.imag), strict=True)]


def _dates(values: Array) -> list[Any]:
    if np.datetime_data(values.dtype)[0] == "generic":  # has no unit, so it is no date
        return _differences(values)
    return [str(text) for text in np.datetime_as_string(values)]


def _differences(values: Array) -> list[Any]:
    counts = _integers(values.view(f"{values.dtype.str[0]}i8"))
    pairs = zip(counts, np.isnat(values).tolist(), strict=True)
    return ["NaT" if missing else count for count, missing in pairs]


def _bytes(values: Array) -> list[Any]:
    return [
        value.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
        for value in values.tolist()
    ]


def _texts(values: Array) -> list[Any]:
    points = values.view(f"{values.dtype.str[0]}u4")
    low, high = _SURROGATES
    wrong = (points > _UNICODE) | ((points >= low) & (points <= high))
    if wrong.any():  # no text has such characters
        fixed = np.where(wrong, _REPLACEMENT, points).astype(points.dtype)
        values = np.ascontiguousarray(fixed).view(values.dtype)
    return _plain(values)


def _voids(values: Array) -> list[Any]:
    dtype = values.dtype
    if dtype.names is None:
        return [bytes(value).hex() for value in values]
    columns = [nested(values[name]) for name in dtype.names]
    return [dict(zip(dtype.names, row, strict=True)) for row in zip(*columns, strict=True)]


_BY_KIND: Final[dict[str, Callable[[Array], list[Any]]]] = {
    "b": _plain,
    "i": _integers,
    "u": _integers,
    "f": _floats,
    "c": _pairs,
    "M": _dates,
    "m": _differences,
    "S": _bytes,
    "U": _texts,
    "V": _voids,
}
