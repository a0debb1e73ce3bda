"""Typed attributes as those of Zarr: plain JSON, with the conventions of xarray and netCDF."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from caterva2.arrays.attributes import BYTES, JSON, LIST, MAP, RECORD, REFERENCE, TEXT, VLEN, Form

INTERNAL = frozenset({
    "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates",
    "_NCProperties", "_nc3_strict", "_ARRAY_DIMENSIONS",
})  # fmt: skip
"""Attributes by which netCDF, HDF5 and Zarr note dimensions, which Zarr has as such."""
FILL = "_FillValue"
_FLOATS = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


def attributes(forms: Mapping[str, Form]) -> dict[str, Any]:
    """Return attributes as JSON, without those that only note dimensions.

    A vector of one number is that number, as it is in netCDF. Bytes are text.
    """
    return {name: plain(form) for name, form in forms.items() if name not in INTERNAL}


def plain(form: Form) -> Any:
    """Return the value of an attribute as JSON."""
    kind = form["dtype"]
    if kind == JSON:
        return form["value"]
    if kind == LIST:
        return [plain(item) for item in form["items"]]
    if kind == MAP:
        return {str(plain(key)): plain(value) for key, value in form["items"]}
    if form.get("shape") is None:
        return None
    if kind == RECORD:
        return {name: plain(field) for name, field in form["fields"].items()}
    if kind == VLEN:
        return _cut(plain(form["items"]), form["lengths"])
    value = form["value"]
    if kind == BYTES or (kind not in (TEXT, REFERENCE) and kind[1:2] in "SV"):
        value = _texts(value)
    single = form["shape"] == [1] and kind not in (TEXT, BYTES, REFERENCE) and kind[1:2] in "biufc"
    return value[0] if single else value


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return base64.b64decode(value).rstrip(b"\0").decode("utf-8", "backslashreplace")


def _cut(items: Any, lengths: list[int]) -> Any:
    if not isinstance(items, list):  # one item in all, which is no list any more
        items = [items]
    found, at = [], 0
    for length in lengths:
        found.append(items[at : at + length])
        at += length
    return found


def xarray_fill(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return a fill value as xarray writes it to stores of version 3; None if it has none."""
    try:
        if dtype.kind == "f":
            return _double(value)
        if dtype.kind == "c":
            return [_double(value[0]), _double(value[1])]
        if dtype.kind in "iu":
            return int(value)
        if dtype.kind == "b":
            return bool(value)
        if dtype.kind == "S":
            return base64.b64encode(str(value).encode()).decode()
        return str(value) if dtype.kind == "U" else None
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _double(value: Any) -> str:
    number = _FLOATS.get(value, np.nan) if isinstance(value, str) else float(value)
    return base64.b64encode(struct.pack("<d", number)).decode()
