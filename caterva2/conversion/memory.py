"""Values laid out in memory as an HDF5 type says, so that HDF5 writes them without conversion.

Conversions of HDF5 and h5py lose the last byte of strings without an end, and have none for some
items of variable length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5t

from caterva2.arrays import dtypes
from caterva2.arrays.attributes import Reference
from caterva2.conversion.hdf5_types import OBJECT_BYTES, Described, size_of

Array = npt.NDArray[Any]
Raw = npt.NDArray[np.uint8]


def no_address(_: str) -> int:
    """Refuse a reference, where there are none."""
    raise ValueError("holds references")


class Memory:
    """Lays out values, and keeps what the pointers in them lead to until they are written.

    Parameters
    ----------
    address_of : callable, optional
        Returns the address of the object with a path.
    """

    def __init__(self, address_of: Callable[[str], int] = no_address) -> None:
        self._address_of = address_of
        self._kept: list[Any] = []

    def items(self, described: Described, values: Array) -> Array:
        """Lay out values.

        Parameters
        ----------
        described : str or list
            See `hdf5_types`.
        values : ndarray
            Of the type's own dtype, or of objects, as `arrays.attributes` has them. Items that
            are arrays are its last axes.

        Returns
        -------
        ndarray
            Of items of bytes, without the axes of items that are arrays.

        Raises
        ------
        ValueError, TypeError
            If the type can't hold them.
        """
        shape = values.shape
        if described[0] == "array":
            shape = shape[: len(shape) - len(described[1])]
        raw = np.ascontiguousarray(self._raw(described, values))
        return raw.view(f"V{raw.shape[-1]}").reshape(shape)

    def _raw(self, described: Described, values: Array) -> Raw:
        """Return the bytes of each item, as rows."""
        if isinstance(described, str):
            return _bytes(_exact(values, np.dtype(dtypes.parse(described))))
        kind, *rest = described
        lay_out: dict[str, Any] = {
            "string": self._string, "vlen": self._vlen, "array": self._array, "enum": self._enum,
            "compound": self._compound, "opaque": self._opaque, "reference": self._reference,
        }  # fmt: skip
        made: Raw = lay_out[kind](*rest, values)
        return made

    def _string(self, size: int | None, padding: int, characters: int, values: Array) -> Raw:
        if size is None:
            return self._texts(_encoded(values))
        fill = b" " if padding == h5t.STR_SPACEPAD else b"\0"
        if values.dtype.kind == "S" and values.dtype.itemsize == size and fill == b"\0":
            return _bytes(values)
        items = _encoded(values)
        if any(len(item) > size for item in items):
            raise ValueError(f"a string is longer than {size} bytes")
        return _rows(b"".join(item.ljust(size, fill) for item in items), size)

    def _texts(self, items: list[bytes]) -> Raw:
        """Pointers to strings that end with a null character."""
        if any(b"\0" in item for item in items):
            raise ValueError("a string of variable length has a null character")
        starts = _starts([len(item) + 1 for item in items])
        return _bytes((self._address(b"\0".join([*items, b""])) + starts).astype(np.uintp))

    def _vlen(self, inner: Described, values: Array) -> Raw:
        """Lengths and pointers: ``hvl_t`` of HDF5."""
        runs = [np.asarray(run) for run in values.reshape(-1).tolist()]
        joined = np.concatenate(runs) if runs else np.empty(0, object)
        raw = self._raw(inner, joined)
        lengths = np.array([len(run) for run in runs], np.uintp)
        places = self._address(raw.tobytes()) + _starts(lengths) * size_of(inner)
        return _bytes(np.stack([lengths, places.astype(np.uintp)], axis=-1), items=2)

    def _array(self, shape: list[int], inner: Described, values: Array) -> Raw:
        if values.shape[-len(shape) :] != tuple(shape):
            raise ValueError(f"items are not arrays of the shape {shape}")
        raw = self._raw(inner, values)
        return raw.reshape(-1, int(np.prod(shape)) * raw.shape[-1])

    def _enum(self, inner: Described, _: dict[str, int], values: Array) -> Raw:
        return self._raw(inner, values)

    def _compound(self, size: int, members: list[Any], values: Array) -> Raw:
        if values.dtype.names != tuple(name for name, *_ in members):
            raise ValueError("a record has other fields")
        made = np.zeros((values.size, size), np.uint8)
        for name, offset, inner in members:
            raw = self._raw(inner, values[name])
            made[:, offset : offset + raw.shape[-1]] = raw
        return made

    def _opaque(self, size: int, _: str, values: Array) -> Raw:
        if values.dtype.kind == "O":
            return self._string(size, h5t.STR_NULLPAD, h5t.CSET_ASCII, values)
        if values.dtype.itemsize != size:
            raise ValueError(f"an item has {values.dtype.itemsize} bytes, not {size}")
        return _bytes(values)

    def _reference(self, values: Array) -> Raw:
        items = values.reshape(-1).tolist()
        if not all(isinstance(item, Reference) for item in items):
            raise TypeError("an item is no reference")
        found = [self._address_of(item) if item else 0 for item in items]
        return _rows(np.array(found, np.uint64).tobytes(), OBJECT_BYTES)

    def _address(self, data: bytes) -> Any:
        self._kept.append(np.frombuffer(data or b"\0", np.uint8))
        return np.uintp(self._kept[-1].ctypes.data)


def _starts(lengths: Any) -> Array:
    sizes = np.asarray(lengths, np.uintp)
    return np.cumsum(sizes, dtype=np.uintp) - sizes


def _bytes(values: Array, items: int = 1) -> Raw:
    flat = np.ascontiguousarray(values).reshape(-1)
    return flat.view(np.uint8).reshape(-1, flat.dtype.itemsize * items)


def _rows(data: bytes, size: int) -> Raw:
    return np.frombuffer(data, np.uint8).reshape(-1, size)


def _exact(values: Array, dtype: np.dtype[Any]) -> Array:
    """Convert numbers to a dtype that can hold them."""
    if values.dtype == dtype:
        return values
    made = np.asarray(values, dtype)
    if not np.array_equal(made, values, equal_nan=values.dtype.kind in "fc"):
        raise ValueError(f"{dtype} can't hold them")
    return made


def _encoded(values: Array) -> list[bytes]:
    items = np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values
    return [_encode(item) for item in items.reshape(-1).tolist()]


def _encode(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if not isinstance(item, bytes):
        raise TypeError("an item is no string")
    return item
