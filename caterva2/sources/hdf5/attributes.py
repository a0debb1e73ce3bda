"""Conversion of HDF5 attributes to plain Python values and back, with their types."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from h5py import h5, h5a, h5s, h5t

from caterva2.arrays import dtypes
from caterva2.errors import SourceCorrupt
from caterva2.frames import metadata
from caterva2.limits import constants
from caterva2.sources.hdf5 import types
from caterva2.sources.layout import Refused

NAME_BYTES = 31
"""BLOSC2_METALAYER_NAME_MAXLEN"""
PLAIN_TEXT = ["string", None, h5t.STR_NULLTERM, h5t.CSET_UTF8]
"""The type of strings that a text becomes where nothing else is noted."""
VARIABLE, FIXED = "text", "text:"
"""Types of strings of variable length, and of UTF-8 strings with a number of bytes."""
ATTRIBUTE_BYTES = 64_000
"""HDF5 keeps an attribute in a header of 64 KiB."""
NOTES = ".hdf5"
"""The vlmeta entry of an imported array that keeps what only HDF5 has."""


@dataclass(slots=True)
class Attributes:
    """The converted attributes of an object.

    ``types`` are the dtype and shape of those that are not plain values in HDF5, ``refused``
    the reasons why others are left out, ``unnoted`` why the types of some are lost.
    """

    packed: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, list[Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unnoted: dict[str, str] = field(default_factory=dict)


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


def read(owner: h5py.HLObject) -> Attributes:
    """Read all attributes of a group or dataset, within the bounds of a dataset's vlmeta."""
    found, size = Attributes(), 0
    for raw in names(owner.id):
        name = raw.decode("utf-8", "surrogateescape")
        try:
            _check_name(name, len(found.packed))
            value, kind = _value(owner, name)
            packed = metadata.encode(value)
            if size + len(packed) > constants.VLMETA_BYTES // 2:
                raise Refused(f"takes {len(packed)} bytes more than fit")
            metadata.decode(packed)
        except (Refused, SourceCorrupt) as refused:
            found.refused[name] = refused.detail
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError) as error:
            found.refused[name] = f"can't be read as a plain value: {error}"
        else:
            size += len(packed)
            found.packed[name] = packed
            if kind is not None:
                found.types[name] = kind
            elif isinstance(value, list | dict):
                found.unnoted[name] = "has items of variable length in others"
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


def _value(owner: h5py.HLObject, name: str) -> tuple[Any, list[Any] | None]:
    """Return an attribute's plain value, and its dtype and shape if the value lacks them."""
    stored = owner.attrs.get_id(name)
    dtype, extent = stored.dtype, stored.shape  # both ask HDF5 each time
    if extent is not None and math.prod(extent) * dtype.itemsize > constants.VLMETA_BYTES:
        raise Refused("is too large")
    if h5py.check_ref_dtype(dtype) is not None:
        raise Refused("holds references")
    value, kind = owner.attrs[name], types.describe(stored.get_type())
    if isinstance(value, h5py.Empty):
        return None, ["empty", kind or _described(value.dtype)]
    shape = list(extent)
    if kind is None:
        known = not dtype.hasobject
        return plain(value), [_described(dtype), shape] if known else None
    text = h5py.check_string_dtype(dtype)
    if text is not None and text.length is not None and text.encoding == "utf-8":
        return _decoded(plain(value)), [kind, shape]
    return plain(value), None if kind == PLAIN_TEXT and not shape else [kind, shape]


def _decoded(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else [_decoded(item) for item in value]


def _described(dtype: np.dtype[Any]) -> str:
    return dtypes.describe(np.dtype(dtype.str) if not dtype.fields else dtype)


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


def write(owner: h5py.HLObject, name: str, value: Any, kind: list[Any] | None) -> None:
    """Write an attribute of a plain value.

    Parameters
    ----------
    owner : HLObject
        Without an attribute of that name.
    name : str
    value : object
    kind : list, optional
        The entry of `Attributes.types` that `read` returned for it.

    Raises
    ------
    TypeError, ValueError, BadMessage
        If HDF5 can't store such a value.
    """
    if kind is not None and kind[0] == "empty" and isinstance(kind[1], list | tuple):
        h5a.create(owner.id, name.encode(), types.make(list(kind[1])), h5s.create(h5s.NULL))
        return
    if kind is None or not isinstance(kind[0], list | tuple):
        owner.attrs[name] = _bounded(restore(value, kind))
        return
    made, shape = types.make(list(kind[0])), tuple(kind[1])
    values, memory, kept = types.memory(made, value, shape)
    _bounded(values)
    space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
    attribute = h5a.create(owner.id, name.encode(), made, space)
    if values.size:
        attribute.write(values, mtype=memory)
    del kept  # until here memory pointed at it


def _bounded(made: Any) -> Any:
    if np.asarray(made).nbytes > ATTRIBUTE_BYTES:
        raise ValueError(f"it is larger than {ATTRIBUTE_BYTES} bytes")
    return made


def restore(value: Any, kind: list[Any] | None) -> Any:
    """Convert a plain value to what h5py writes as an attribute.

    Parameters
    ----------
    value : object
    kind : list, optional
        The entry of `Attributes.types` that `read` returned for it.

    Raises
    ------
    TypeError, ValueError, BadMessage
        If HDF5 can't hold it.
    """
    if value is None:
        dtype = dtypes.parse(kind[1]) if kind and kind[0] == "empty" else np.dtype("f8")
        return h5py.Empty(dtype)
    if kind is not None and kind[0].startswith(VARIABLE):
        length = int(kind[0][len(FIXED) :]) if kind[0].startswith(FIXED) else None
        dtype = h5py.string_dtype("utf-8", length)
        made = np.array(value) if length is None else np.char.encode(np.array(value), "utf-8")
        return made.astype(dtype).reshape(kind[1])
    if kind is not None and kind[0] != "empty":
        dtype = dtypes.parse(kind[0])
        made = np.array(_records(value) if dtype.fields else value, dtype=dtype)
        return made.reshape(kind[1])[()]
    if isinstance(value, bool | int | float | complex | str):
        return value
    if isinstance(value, bytes):
        return np.void(value) if not value or b"\x00" in value else np.bytes_(value)
    made = np.array(value)
    if made.dtype.hasobject or made.dtype.kind not in "biufcUS":
        raise TypeError(f"{type(value).__name__} can't be an HDF5 attribute")
    return made.astype(h5py.string_dtype()) if made.dtype.kind == "U" else made


def _records(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(_records(item) for item in value.values())
    return [_records(item) for item in value] if isinstance(value, list) else value
