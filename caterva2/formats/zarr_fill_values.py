"""The attribute by which netCDF's programs mask values, as arrays of Zarr have it.

Zarr has attributes in JSON, in which xarray writes floating-point numbers as base64.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any

import numpy as np

from caterva2.formats.zarr_metadata import ArrayMetadata

ATTRIBUTE = "_FillValue"
DIMENSIONS = "_ARRAY_DIMENSIONS"


def attributes(metadata: ArrayMetadata) -> dict[str, Any]:
    """Return the attributes of an array, with the value for missing ones in the array's dtype."""
    value = _masked(metadata)
    return {**metadata.attributes} | ({} if value is None else {ATTRIBUTE: value})


def _masked(metadata: ArrayMetadata) -> Any:
    """Return the value that netCDF's programs take for missing, None if there is none.

    In version 2 it is the fill value of an array that such a program wrote, in version 3 an
    attribute.
    """
    given = metadata.attributes.get(ATTRIBUTE)
    if metadata.is_version2:
        by_xarray = DIMENSIONS in metadata.attributes and metadata.has_fill
        return np.frombuffer(metadata.fill, metadata.dtype)[0] if by_xarray else given
    return given if given is None else _decoded(given, metadata.dtype)


def _decoded(given: Any, dtype: np.dtype[Any]) -> Any:
    """Return a value that xarray encoded, or what is given if it did not."""
    try:
        if dtype.kind == "f":
            return dtype.type(_number(given))
        if dtype.kind == "c":
            return dtype.type(complex(*map(_number, given)))
        if dtype.kind == "S":
            return base64.b64decode(given, validate=True)
        if dtype.kind in "iu" and type(given) is int:
            return dtype.type(given)
    except (binascii.Error, struct.error, TypeError, ValueError, OverflowError):
        pass
    return given


def _number(given: Any) -> float:
    return float(struct.unpack("<d", base64.b64decode(given, validate=True))[0])
