"""Dtypes and fill values of Zarr, versions 2 and 3."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from caterva2.arrays import dtypes
from caterva2.errors import BadMessage, SourceCorrupt
from caterva2.limits import constants

DType = np.dtype[Any]
_NUMBERS = {
    f"{kind}{bits}"
    for kind, sizes in {
        "int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64),
        "complex": (64, 128),
    }.items()
    for bits in sizes
}  # fmt: skip
_VARIABLE = frozenset({"string", "bytes", "variable_length_bytes", "variable_length_utf8"})
_BYTES = {"null_terminated_bytes": "S", "raw_bytes": "V"}
_FLOATS = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


def version2(described: Any) -> DType:
    """Return the dtype of version 2: a string of numpy, or a list of fields.

    Raises
    ------
    SourceCorrupt
        If it is not allowed.
    """
    if described == "|O":
        raise SourceCorrupt("it has items of variable length, or Python objects")
    text = described if isinstance(described, str) else repr(_fields2(described))
    return _parsed(text)


def _fields2(items: Any, depth: int = 0) -> list[tuple[Any, ...]]:
    if not isinstance(items, list) or depth > constants.METADATA_DEPTH:
        raise SourceCorrupt("its dtype is not a list of fields")
    made = []
    for item in items:
        if not isinstance(item, list) or len(item) not in (2, 3):
            raise SourceCorrupt("its dtype has a field that is not a name and a dtype")
        inner = _fields2(item[1], depth + 1) if isinstance(item[1], list) else item[1]
        shape = (tuple(item[2]),) if len(item) == 3 and isinstance(item[2], list) else ()
        made.append((item[0], inner, *shape))
    return made


def _parsed(text: str) -> DType:
    try:
        return dtypes.parse(text)
    except BadMessage as error:
        raise SourceCorrupt(f"its {error.detail}") from None


def version3(name: str, config: Mapping[str, Any], endian: str = "little", depth: int = 0) -> DType:
    """Return the dtype of version 3.

    Parameters
    ----------
    name : str
    config : mapping
        Its parameters.
    endian : {"little", "big"}
        Order of the bytes of items that are stored.
    depth : int
        How deep it is nested in others.

    Raises
    ------
    SourceCorrupt
        If it is not known.
    """
    if name == "bool":
        return np.dtype("?")
    if name in _NUMBERS:
        return np.dtype(name).newbyteorder(">" if endian == "big" else "<")
    if name in ("numpy.datetime64", "numpy.timedelta64"):
        sign, kind = ">" if endian == "big" else "<", "M" if "date" in name else "m"
        scale = config.get("scale_factor", 1)
        unit = config.get("unit", "generic")
        return _parsed(f"{sign}{kind}8" + ("" if unit == "generic" else f"[{scale}{unit}]"))
    if name in _BYTES:
        return _parsed(f"|{_BYTES[name]}{_length(config)}")
    if name == "fixed_length_utf32":
        return _parsed(f"{'>' if endian == 'big' else '<'}U{_length(config) // 4}")
    if name.startswith("r") and name[1:].isascii() and name[1:].isdigit() and len(name) < 8:
        return _parsed(f"|V{int(name[1:]) // 8}")
    if name in ("structured", "struct") and depth < constants.METADATA_DEPTH:
        return _fields3(config.get("fields"), endian, depth + 1)
    if name in _VARIABLE:
        raise SourceCorrupt("it has strings or bytes of variable length")
    raise SourceCorrupt(f"it has the data type {name[:40]!r}, which is not known")


def _length(config: Mapping[str, Any]) -> int:
    length = config.get("length_bytes")
    if type(length) is not int:
        raise SourceCorrupt("its data type has no length")
    return length


def _fields3(fields: Any, endian: str, depth: int) -> DType:
    if not isinstance(fields, list) or not 0 < len(fields) <= constants.DTYPE_FIELDS:
        raise SourceCorrupt("its data type has no fields, or too many")
    made = []
    for field in fields:
        label, inner = _field3(field)
        given = inner if isinstance(inner, dict) else {"name": inner}
        kind, config = given.get("name"), given.get("configuration", {})
        if not isinstance(label, str) or not isinstance(kind, str) or not isinstance(config, dict):
            raise SourceCorrupt("its data type has a field that makes no sense")
        made.append((label, version3(kind, config, endian, depth)))
    return _parsed(dtypes.describe(np.dtype(made)))


def _field3(field: Any) -> tuple[Any, Any]:
    if isinstance(field, dict):
        return field.get("name"), field.get("data_type")
    label, inner = field if isinstance(field, list) and len(field) == 2 else (None, None)
    return label, inner


def fill(value: Any, dtype: DType) -> bytes:
    """Return the item that a fill value stands for.

    Raises
    ------
    SourceCorrupt
        If it does not fit the dtype.
    """
    try:
        if value is None:
            return bytes(dtype.itemsize)
        if dtype.fields is not None and isinstance(value, dict):
            return _record(value, dtype)
        if dtype.kind in "SV":
            return _raw(value, dtype)
        item = np.array(_number(value, dtype), dtype)
        if item.ndim or (dtype.kind == "U" and item != value and value != 0):
            raise ValueError("it is not one item")
        return item.tobytes()
    except (ValueError, TypeError, OverflowError, KeyError, binascii.Error) as error:
        raise SourceCorrupt(f"its fill value does not fit {dtype}: {error}") from None


def _record(value: dict[str, Any], dtype: DType) -> bytes:
    return b"".join(fill(value[name], dtype[name]) for name in dtype.names or ())


def _raw(value: Any, dtype: DType) -> bytes:
    if value == 0:
        return bytes(dtype.itemsize)
    data = bytes(value) if isinstance(value, list) else base64.b64decode(value, validate=True)
    if len(data) > dtype.itemsize or (len(data) < dtype.itemsize and dtype.kind != "S"):
        raise ValueError(f"it has {len(data)} bytes, not {dtype.itemsize}")
    return data.ljust(dtype.itemsize, b"\0")


def _number(value: Any, dtype: DType) -> Any:
    if dtype.kind == "c" and isinstance(value, list):
        real, imaginary = value
        return complex(_float(real, dtype), _float(imaginary, dtype))
    if dtype.kind in "fc":
        return _float(value, dtype)
    if dtype.kind in "mM":
        return np.array(value if value == "NaT" else int(value)).astype(dtype)
    if dtype.kind in "iu" and isinstance(value, float) and not value.is_integer():
        raise ValueError(f"it is {value}")
    if dtype.kind == "U" and value == 0:
        return ""
    return value


def _float(value: Any, dtype: DType) -> Any:
    if isinstance(value, str) and value.startswith("0x"):
        size = dtype.itemsize // (2 if dtype.kind == "c" else 1)
        bits = int(value, 16).to_bytes(size, "little")
        return np.frombuffer(bits, f"<f{size}")[0]
    return _FLOATS[value] if isinstance(value, str) else value


# --- descriptions of our dtypes ---

Described = tuple[Any, Any]
"""A data type and the fill value that stands for zeros, both as JSON."""
_NAMES3 = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}


def described3(dtype: DType) -> Described:
    """Describe a dtype as version 3 does; one that it has not as raw bytes.

    The order of the bytes of an item is not part of it.
    """
    if dtype.fields is not None:
        return _fields_described(dtype) or _raw_described(dtype.itemsize)
    bits = 8 * dtype.itemsize
    if dtype.kind == "b" or f"{_NAMES3.get(dtype.kind)}{bits}" in _NUMBERS:
        name = "bool" if dtype.kind == "b" else f"{_NAMES3[dtype.kind]}{bits}"
        return name, {"b": False, "f": 0.0, "c": [0.0, 0.0]}.get(dtype.kind, 0)
    if dtype.kind in "mM":
        unit, count = np.datetime_data(dtype)
        name = "numpy.datetime64" if dtype.kind == "M" else "numpy.timedelta64"
        return _configured(name, unit=unit, scale_factor=count), 0
    if dtype.kind in "SU":
        name = "null_terminated_bytes" if dtype.kind == "S" else "fixed_length_utf32"
        return _configured(name, length_bytes=dtype.itemsize), ""
    return _raw_described(dtype.itemsize)


def _configured(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def _raw_described(size: int) -> Described:
    return _configured("raw_bytes", length_bytes=size), _zeros(size)


def _zeros(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


def _fields_described(dtype: DType) -> Described | None:
    """Describe a record; None if its fields are arrays, are not packed, or of both orders."""
    parts = [(name, dtype[name]) for name in dtype.names or ()]
    orders = {order_of(part) for _, part in parts} - {"|"}
    packed = sum(part.itemsize for _, part in parts) == dtype.itemsize
    if len(orders) > 1 or not packed or any(part.subdtype for _, part in parts):
        return None
    fields = [[name, described3(part)[0]] for name, part in parts]
    return _configured("structured", fields=fields), _zeros(dtype.itemsize)


def order_of(dtype: DType) -> str:
    """Return the order of the bytes of an item: ``<``, ``>``, or ``|`` where it has none."""
    if dtype.fields is None:
        return "<" if dtype.byteorder == "=" else dtype.byteorder
    orders = {order_of(dtype[name]) for name in dtype.names or ()} - {"|"}
    return orders.pop() if len(orders) == 1 else "|"


def described2(dtype: DType) -> Any:
    """Describe a dtype as version 2 does; one that it has not as raw bytes."""
    if dtype.fields is not None:
        return _listed(dtype.descr)
    known = dtype.kind not in "fc" or dtype.itemsize <= (8 if dtype.kind == "f" else 16)
    return dtype.str if known else f"|V{dtype.itemsize}"


def _listed(descr: Any) -> Any:
    return [_listed(item) if isinstance(item, list | tuple) else item for item in descr]
