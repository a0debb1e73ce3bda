"""HDF5 types as plain values, which an import notes and an export makes the types of again.

A type is described by the text of a numpy dtype, or by a list:

- ``["string", SIZE or None, PADDING, CHARACTERS]``, in HDF5's numbers,
- ``["vlen", ITEMS]`` and ``["array", SHAPE, ITEMS]``,
- ``["enum", INTEGERS, {NAME: NUMBER}]``,
- ``["compound", SIZE, [[NAME, OFFSET, TYPE], ...]]``,
- ``["opaque", SIZE, TAG]`` and ``["reference"]``, to an object.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from h5py import h5t

from caterva2.arrays import dtypes
from caterva2.arrays.attributes import Reference
from caterva2.limits import constants

Described = str | list[Any]
PADDINGS = (h5t.STR_NULLTERM, h5t.STR_NULLPAD, h5t.STR_SPACEPAD)
CHARACTERS = (h5t.CSET_ASCII, h5t.CSET_UTF8)
TEXT: Described = ["string", None, int(h5t.STR_NULLTERM), int(h5t.CSET_UTF8)]
REFERENCE: Described = ["reference"]
OBJECT_BYTES = 8
"""Bytes of a reference to an object: the address of its header."""
_PLAIN = "biufc"


def describe(stored: Any) -> Described | None:
    """Describe a type, given by its identifier; None if it can't be made again."""
    try:
        return _describe(stored)
    except (TypeError, ValueError, RuntimeError):  # numpy has no such type, or a name is no text
        return None


def _describe(stored: Any) -> Described | None:
    if isinstance(stored, h5t.TypeStringID):
        size = None if stored.is_variable_str() else stored.get_size()
        return ["string", size, int(stored.get_strpad()), int(stored.get_cset())]
    if isinstance(stored, h5t.TypeVlenID | h5t.TypeArrayID):
        inner = _describe(stored.get_super())
        if inner is None or isinstance(stored, h5t.TypeVlenID):
            return None if inner is None else ["vlen", inner]
        return ["array", list(stored.get_array_dims()), inner]
    if isinstance(stored, h5t.TypeReferenceID):
        return REFERENCE if stored.equal(h5t.STD_REF_OBJ) else None
    if isinstance(stored, h5t.TypeOpaqueID):
        return ["opaque", stored.get_size(), stored.get_tag().decode()]
    dtype = stored.dtype
    if dtype.kind in _PLAIN and "enum" not in (dtype.metadata or {}):
        exact = h5t.py_create(dtype, logical=True).equal(stored)
        return str(dtype.str) if exact else None
    if isinstance(stored, h5t.TypeEnumID):
        base = _describe(stored.get_super())
        numbers = dtype.metadata["enum"]
        return base and ["enum", base, {name: int(n) for name, n in numbers.items()}]
    return _compound(stored) if isinstance(stored, h5t.TypeCompoundID) else None


def _compound(stored: Any) -> Described | None:
    members = []
    for n in range(stored.get_nmembers()):
        inner = _describe(stored.get_member_type(n))
        if inner is None:
            return None
        members.append([stored.get_member_name(n).decode(), stored.get_member_offset(n), inner])
    return ["compound", stored.get_size(), members]


def make(described: Described) -> Any:
    """Make the type of a description.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError, BadMessage
        If it describes none.
    """
    if isinstance(described, str):
        return _plain(described)
    kind, *rest = described
    if kind not in _MAKE:
        raise ValueError(f"{str(described)[:80]} describes no type")
    return _MAKE[kind](*rest)


def size_of(described: Described) -> int:
    """Return the bytes that an item takes in memory."""
    return int(make(described).get_size())


def _plain(text: str) -> Any:
    dtype = dtypes.parse(text)
    if dtype.kind not in _PLAIN:
        raise ValueError(f"{text[:80]} is no number")
    return h5t.py_create(dtype, logical=True)


def _string(size: int | None, padding: int, characters: int) -> Any:
    if padding not in PADDINGS or characters not in CHARACTERS:
        raise ValueError(
            f"strings with padding {padding} and characters {characters} are not known"
        )
    made = h5t.C_S1.copy()
    made.set_size(h5t.VARIABLE if size is None else _checked(size))
    made.set_strpad(padding)
    made.set_cset(characters)
    return made


def _array(shape: list[int], inner: Described) -> Any:
    base = make(inner)
    if not 0 < len(shape) <= constants.NDIM:
        raise ValueError(f"items are arrays of {len(shape)} dimensions")
    _checked(math.prod(map(_checked, shape)) * base.get_size())
    return h5t.array_create(base, tuple(shape))


def _enum(inner: Described, names: dict[str, int]) -> Any:
    base = make(inner)
    if not isinstance(base, h5t.TypeIntegerID):
        raise ValueError("an enumeration has integers")
    made = h5t.enum_create(base)
    for name, number in names.items():
        made.enum_insert(name.encode(), number)
    return made


def _record(size: int, members: list[Any]) -> Any:
    if not 0 < len(members) <= constants.DTYPE_FIELDS:
        raise ValueError(f"a record has {len(members)} fields")
    made = h5t.create(h5t.COMPOUND, _checked(size))
    for name, offset, inner in members:
        base = make(inner)
        if not 0 <= offset <= size - base.get_size():
            raise ValueError(f"the field {name[:80]!r} is not within its record")
        made.insert(name.encode(), offset, base)
    return made


def _opaque(size: int, tag: str) -> Any:
    made = h5t.create(h5t.OPAQUE, _checked(size))
    made.set_tag(tag.encode()[:255])
    return made


def _checked(size: int) -> int:
    if not 0 < size <= constants.ITEMSIZE:
        raise ValueError(f"an item has {size} bytes, not 1 to ITEMSIZE, {constants.ITEMSIZE}")
    return size


_MAKE: dict[str, Any] = {
    "string": _string, "vlen": lambda inner: h5t.vlen_create(make(inner)),
    "array": _array, "enum": _enum, "compound": _record, "opaque": _opaque,
    "reference": lambda: h5t.STD_REF_OBJ,
}  # fmt: skip


def of_values(values: np.ndarray[Any, Any]) -> Described:
    """Return the type that suits values for which none was noted.

    Raises
    ------
    TypeError
        If HDF5 has none.
    """
    dtype = values.dtype
    if dtype.fields is not None:
        return _packed(values)
    if dtype.hasobject:
        return _of_objects(values.reshape(-1).tolist())
    if dtype.kind in "SU":
        return TEXT if dtype.kind == "U" else _bytes(dtype.itemsize)
    if dtype.kind in "MmV":
        return ["opaque", dtype.itemsize, "" if dtype.kind == "V" else f"NUMPY:{dtype.str}"]
    names = (dtype.metadata or {}).get("enum")
    return dtype.str if names is None else ["enum", dtype.str, dict(names)]


def _of_objects(items: list[Any]) -> Described:
    if items and isinstance(items[0], np.ndarray):
        return ["vlen", of_values(np.concatenate(items))]
    if items and isinstance(items[0], bytes):
        size = max(map(len, items))
        if len(items) == 1 and (not size or b"\0" in items[0]):
            return ["opaque", max(size, 1), ""]
        return _bytes(size)
    return REFERENCE if items and isinstance(items[0], Reference) else TEXT


def _bytes(size: int) -> Described:
    return ["string", max(size, 1), int(h5t.STR_NULLPAD), int(h5t.CSET_ASCII)]


def _packed(values: np.ndarray[Any, Any]) -> Described:
    members: list[Any] = []
    end = 0
    for name in values.dtype.names or ():
        column = values[name]
        inner, shape = of_values(column), column.shape[values.ndim :]
        if shape:
            inner = ["array", list(shape), inner]
        members.append([name, end, inner])
        end += size_of(inner)
    return ["compound", end, members]
