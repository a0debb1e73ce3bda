"""Dtypes as JSON: a string of numpy, or the fields of a record."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from typing_extensions import TypedDict

from caterva2.arrays import dtypes
from caterva2.errors import BadMessage
from caterva2.limits import constants
from caterva2.rest.shapes import Count, closed


@closed
class Field(TypedDict):
    """A field of a record; ``shape`` is empty unless each item of it is an array."""

    name: str
    dtype: str | Record
    shape: list[Count]


@closed
class Record(TypedDict):
    """A structured dtype: its fields follow each other without gaps."""

    fields: list[Field]
    itemsize: Count
    """Bytes of an item."""


DType = str | Record
"""``<f4``, ``|b1``, ``<U7`` and so on, or a record."""


def of(dtype: np.dtype[Any]) -> DType:
    """Return a dtype as JSON."""
    if dtype.names is None:
        return dtype.str
    return {"fields": [_field(name, dtype[name]) for name in dtype.names],
            "itemsize": dtype.itemsize}  # fmt: skip


@functools.lru_cache(maxsize=256)
def of_text(text: str) -> DType:
    """Return a stored dtype string as JSON; raise as `caterva2.arrays.dtypes.parse` does."""
    return of(dtypes.parse(text))


def _field(name: str, dtype: np.dtype[Any]) -> Field:
    base, shape = dtype.subdtype or (dtype, ())
    return {"name": name, "dtype": of(base), "shape": list(shape)}


def parse(given: Any) -> np.dtype[Any]:
    """Return the dtype that JSON stands for.

    Raises
    ------
    BadMessage
        If it is none, or one with too many fields or too deep.
    """
    try:
        found = _parse(given, 0)
    except (ValueError, TypeError, KeyError) as error:
        raise BadMessage(f"it is no dtype: {str(error)[:200]}") from None
    if found.itemsize > constants.ITEMSIZE:
        raise BadMessage(f"its items are larger than ITEMSIZE, {constants.ITEMSIZE}")
    return found


def _parse(given: Any, depth: int) -> np.dtype[Any]:
    if depth > dtypes.NESTING:
        raise ValueError(f"fields are nested deeper than {dtypes.NESTING} levels")
    if not isinstance(given, dict):
        return dtypes.parse(given)
    fields = given["fields"]
    if len(fields) > constants.DTYPE_FIELDS:
        raise ValueError(f"it has more fields than DTYPE_FIELDS, {constants.DTYPE_FIELDS}")
    parts = [(one["name"], _parse(one["dtype"], depth + 1), tuple(one["shape"])) for one in fields]
    return np.dtype(parts)
