"""HDF5 types of which numpy's dtypes say only a part: strings, and items of variable length.

They are described by plain lists, which an import notes and an export makes the types of again:
``["string", SIZE or None, PADDING, CHARACTERS]`` in HDF5's numbers, and ``["vlen", OTHER]`` of a
string of fixed size or a dtype's text.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5t

from caterva2.arrays import dtypes
from caterva2.limits import constants

Described = list[Any]
PADDINGS = (h5t.STR_NULLTERM, h5t.STR_NULLPAD, h5t.STR_SPACEPAD)
CHARACTERS = (h5t.CSET_ASCII, h5t.CSET_UTF8)
_VLEN = np.dtype([("size", np.uintp), ("items", np.uintp)])
"""``hvl_t`` of HDF5: how memory holds items of variable length."""


def describe(stored: Any) -> Described | None:
    """Describe a type, given by its identifier, if it is one of these and can be made again."""
    if isinstance(stored, h5t.TypeStringID):
        size = None if stored.is_variable_str() else stored.get_size()
        return ["string", size, int(stored.get_strpad()), int(stored.get_cset())]
    if not isinstance(stored, h5t.TypeVlenID):
        return None
    inner = stored.get_super()
    found = describe(inner)
    if found is not None:
        return ["vlen", found] if found[0] == "string" and found[1] is not None else None
    if isinstance(inner, h5t.TypeIntegerID | h5t.TypeFloatID):
        return ["vlen", dtypes.describe(inner.dtype)]
    return None


def of_items(stored: Any) -> Any:
    """Return the type of what is in items that are arrays; any other type as it is."""
    while isinstance(stored, h5t.TypeArrayID):
        stored = stored.get_super()
    return stored


def make(described: Described) -> Any:
    """Make the type of a description.

    Raises
    ------
    ValueError, TypeError, BadMessage
        If it describes none.
    """
    kind, *rest = described
    if kind == "vlen":
        (inner,) = rest
        base = _plain(inner) if isinstance(inner, str) else make(list(inner))
        if isinstance(base, h5t.TypeVlenID) or (_is_string(base) and base.is_variable_str()):
            raise ValueError("items of variable length hold others")
        return h5t.vlen_create(base)
    size, padding, characters = rest
    if kind != "string" or padding not in PADDINGS or characters not in CHARACTERS:
        raise ValueError(f"{described} describes no type")
    if size is not None and not 0 < size <= constants.ITEMSIZE:
        raise ValueError(f"a string has {size} bytes")
    made = h5t.C_S1.copy()
    made.set_size(h5t.VARIABLE if size is None else size)
    made.set_strpad(padding)
    made.set_cset(characters)
    return made


def memory(made: Any, value: Any, shape: tuple[int, ...]) -> tuple[npt.NDArray[Any], Any, Any]:
    """Lay out values as a type that `make` made has them in memory.

    Parameters
    ----------
    made : TypeID
    value : object
        Plain values, in lists within lists as the shape says.
    shape : tuple of int

    Returns
    -------
    tuple
        An array, the identifier of its type (None if h5py knows it), and what has to be kept until
        it is written.
    """
    items = _flat(value, len(shape))
    if isinstance(made, h5t.TypeVlenID):
        inner = made.get_super()
        runs = [
            _fixed(inner, item) if _is_string(inner) else _numbers(inner, item) for item in items
        ]
        rows = [(len(run), run.ctypes.data) for run in runs]
        return np.array(rows, _VLEN).reshape(shape), made, runs
    if not made.is_variable_str():
        return _fixed(made, items).reshape(shape), made, None
    encoding = "utf-8" if made.get_cset() == h5t.CSET_UTF8 else "ascii"
    texts = np.array(items, object).astype(h5py.string_dtype(encoding))
    return texts.reshape(shape), None, None


def is_padded_with(stored: Any, padding: int) -> bool:
    """Whether a type is of strings of fixed size that are padded so."""
    return _is_string(stored) and not stored.is_variable_str() and stored.get_strpad() == padding


def _is_string(stored: Any) -> bool:
    return isinstance(stored, h5t.TypeStringID)


def _plain(text: str) -> Any:
    dtype = dtypes.parse(text)
    if dtype.kind not in "iuf":
        raise ValueError(f"items of variable length are {text}")
    return h5t.py_create(dtype, logical=True)


def _numbers(stored: Any, items: Any) -> npt.NDArray[Any]:
    return np.array(items, stored.dtype).reshape(-1)


def _fixed(stored: Any, items: Any) -> npt.NDArray[Any]:
    """Strings as the file holds them, all of their bytes in use."""
    size = stored.get_size()
    encoded = [item.encode() if isinstance(item, str) else item for item in items]
    if any(len(item) > size for item in encoded):
        raise ValueError(f"a string is longer than {size} bytes")
    if is_padded_with(stored, h5t.STR_SPACEPAD):
        encoded = [item.ljust(size) for item in encoded]
    return np.array(encoded, f"S{size}")


def _flat(value: Any, depth: int) -> list[Any]:
    items = [value]
    for _ in range(depth):
        items = [item for row in items for item in row]
    return items
