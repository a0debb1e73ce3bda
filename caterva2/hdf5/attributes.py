"""Plain values of HDF5 attributes: what vlmeta can hold of them."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np
from h5py import h5, h5a

from caterva2.errors import SourceCorrupt
from caterva2.frames import metadata
from caterva2.frames.attributes import NOTES
from caterva2.limits import constants
from caterva2.sources.layout import Refused

NAME_BYTES = 31
"""BLOSC2_METALAYER_NAME_MAXLEN"""


def names(owner: Any) -> list[bytes]:
    """Return the names of the attributes of an object, given by its identifier, in order.

    Of very many these are one more than are served: their file may have a million.
    """
    found: list[bytes] = []

    def note(name: bytes, *_: Any) -> bool | None:
        found.append(name)
        return True if len(found) > constants.ATTRS_ITEMS else None

    h5a.iterate(owner, note, order=h5.ITER_NATIVE)  # in any other order HDF5 sorts all of them
    return sorted(found)


def read(owner: h5py.HLObject) -> dict[str, bytes]:
    """Read the attributes of a group or dataset that a dataset's vlmeta can hold."""
    found, size = dict[str, bytes](), 0
    for raw in names(owner.id):
        name = raw.decode("utf-8", "surrogateescape")
        try:
            _check_name(name, len(found))
            packed = metadata.encode(_value(owner, name))
            if size + len(packed) > constants.VLMETA_BYTES // 2:
                raise Refused(f"takes {len(packed)} bytes more than fit")
            metadata.decode(packed)
        except (Refused, SourceCorrupt):
            continue
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError):
            continue  # it can't be read as a plain value
        size += len(packed)
        found[name] = packed
    return found


def _check_name(name: str, count: int) -> None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Refused("has a name that is not valid Unicode") from None
    if not 0 < size <= NAME_BYTES or name == NOTES:
        raise Refused(f"has a name that vlmeta can't hold: it takes 1 to {NAME_BYTES} bytes")
    if count >= constants.VLMETA_ITEMS - 1:
        raise Refused("is one too many")


def _value(owner: h5py.HLObject, name: str) -> Any:
    stored = owner.attrs.get_id(name)
    dtype, extent = stored.dtype, stored.shape  # both ask HDF5 each time
    if extent is not None and math.prod(extent) * dtype.itemsize > constants.VLMETA_BYTES:
        raise Refused("is too large")
    if h5py.check_ref_dtype(dtype) is not None:
        raise Refused("holds references")
    value = owner.attrs[name]
    if isinstance(value, h5py.Empty):
        return None
    text = h5py.check_string_dtype(dtype)
    if text is not None and text.length is not None and text.encoding == "utf-8":
        return _decoded(plain(value))
    return plain(value)


def _decoded(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else [_decoded(item) for item in value]


def plain(value: Any) -> Any:
    """Convert a numpy value to plain Python; a record becomes a dictionary of its fields.

    Raises
    ------
    TypeError
        If no plain type can hold it.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.fields:
            return [plain(item) for item in value] if value.ndim else plain(value[()])
        if value.dtype.kind in "Mm":
            return value.astype(str).tolist()
        if value.dtype.kind in "OV":
            return [plain(item) for item in value] if value.ndim else plain(value[()])
        if value.dtype.kind in "fc" and value.dtype.itemsize > 8:
            return value.astype("c16" if value.dtype.kind == "c" else "f8").tolist()
        return value.tolist()
    if isinstance(value, np.void):
        if value.dtype.names is None:
            return value.tobytes()
        return {name: plain(value[name]) for name in value.dtype.names}
    if isinstance(value, np.datetime64 | np.timedelta64):
        return str(value)
    if isinstance(value, np.floating | np.complexfloating):
        return complex(value) if isinstance(value, np.complexfloating) else float(value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    raise TypeError(f"{type(value).__name__} is not a plain value")
