"""Strings of dtypes."""

from __future__ import annotations

from caterva2.arrays import dtypes
from caterva2.errors import BadMessage
from caterva2.formats import zarr_dtypes


def one(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        dtype = dtypes.parse(text)
    except BadMessage:
        return
    dtypes.display(dtype)
    zarr_dtypes.described3(dtype)
    assert dtypes.parse(dtypes.describe(dtype)) == dtype
