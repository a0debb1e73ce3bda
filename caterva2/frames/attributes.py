"""Typed attributes of datasets: packed for the wire, and those of a frame out of its vlmeta."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

import msgpack
import numpy as np

from caterva2.arrays import dtypes
from caterva2.arrays.attributes import Form, form_of, value_of
from caterva2.arrays.dimensions import Dims, checked
from caterva2.errors import BadMessage, CatervaError, SourceCorrupt
from caterva2.frames import metadata
from caterva2.frames.metadata import NDARRAY
from caterva2.limits import constants
from caterva2.model import DatasetInfo

NOTE = "."
"""Entries of vlmeta whose names begin so are notes of programs, not attributes."""
TYPED, DIMENSIONS = ".attrs", ".dims"
"""Such entries of ours: attributes that vlmeta can't hold with their types, and the names of
dimensions.

An attribute has the digest of its plain value in vlmeta, None where there is none, and its packed
form. If somebody changed the value since, it counts as it is in vlmeta.
"""
NOTES = ".hdf5"
"""The entry of an imported array that keeps what only an export needs."""


class Described(Protocol):
    """A description with metadata."""

    @property
    def vlmeta(self) -> dict[str, bytes]: ...
    @property
    def attrs(self) -> dict[str, bytes]: ...


def pack(value: Any) -> bytes:
    """Pack the typed value of an attribute.

    Raises
    ------
    TypeError, ValueError
        If it has no form, see `arrays.attributes.form_of`.
    """
    return packed(form_of(value))


def packed(form: Form) -> bytes:
    """Pack the form of an attribute."""
    found: bytes = msgpack.packb(form)
    return found


def check(info: Described) -> None:
    """Check the packed attributes of a description that others sent.

    Raises
    ------
    SourceCorrupt
        If one of them is none; the error names it.
    """
    for name, stored in info.attrs.items():
        try:
            value_of(unpacked(stored))
        except (BadMessage, SourceCorrupt) as error:
            raise SourceCorrupt(f"attribute {name[:80]!r}: {error.detail}") from None


def check_description(info: DatasetInfo) -> None:
    """Check the packed attributes and the metalayers of a description that others sent.

    Raises
    ------
    SourceCorrupt
        If one of them is none; the error names it.
    """
    check(info)
    for name, stored in info.metalayers.items():
        if not metadata.is_plain(stored):
            raise SourceCorrupt(f"metalayer {name[:80]!r} is no plain value")


def forms(info: Described) -> dict[str, Form]:
    """Return the forms of all attributes, see `arrays.attributes`.

    Where a description has no attributes of its own they are those of its vlmeta, with the types
    that are noted there. An entry that is no data, such as an expression, is the text that names
    it.

    Raises
    ------
    SourceCorrupt
        If one can't be read.
    """
    if not info.vlmeta and not info.attrs:
        return {}
    if info.attrs:
        return {name: unpacked(stored) for name, stored in info.attrs.items()}
    return _plain(info.vlmeta) | noted(info.vlmeta)


def metalayers(info: DatasetInfo) -> dict[str, Form]:
    """Return the forms of the metalayers of users."""
    return {name: _of_vlmeta(packed) for name, packed in info.metalayers.items()}


def _plain(vlmeta: Mapping[str, bytes]) -> dict[str, Form]:
    return {
        name: _of_vlmeta(stored) for name, stored in vlmeta.items() if not name.startswith(NOTE)
    }


def noted(vlmeta: Mapping[str, bytes]) -> dict[str, Form]:
    """Return the forms in the note of attributes with their types; without those that are none."""
    found: dict[str, Form] = {}
    kept = _note(vlmeta, TYPED)
    for name, noted in kept.items() if isinstance(kept, dict) else ():
        try:
            digest, stored = noted
            form = unpacked(stored)
            value_of(form)
        except (BadMessage, SourceCorrupt, TypeError, ValueError):
            continue
        if digest == _digest(vlmeta.get(name)):
            found[str(name)] = form
    return found


def notes(info: DatasetInfo) -> dict[str, bytes]:
    """Return the entries of vlmeta that keep types and dimensions which vlmeta has not."""
    plain = _plain(info.vlmeta)
    typed = {
        name: (_digest(info.vlmeta.get(name)), stored)
        for name, stored in info.attrs.items()
        if plain.get(name) != unpacked(stored)
    }
    made = {TYPED: metadata.encode(typed)} if typed else {}
    return made | ({DIMENSIONS: metadata.encode(info.dims)} if info.dims else {})


def _digest(packed: bytes | None) -> int | None:
    return None if packed is None else zlib.crc32(packed)


def dims(info: DatasetInfo) -> Dims:
    """Return the names of an array's dimensions: its own, noted ones, or those that zarr notes."""
    if not info.vlmeta:
        return info.dims
    names = _note(info.vlmeta, DIMENSIONS) or _note(info.vlmeta, "_ARRAY_DIMENSIONS")
    if info.dims or not isinstance(names, list | tuple):
        return info.dims
    return checked(names, len(info.shape))


def _note(vlmeta: Mapping[str, bytes], name: str) -> Any:
    try:
        return metadata.decode(vlmeta[name]) if name in vlmeta else None
    except SourceCorrupt:
        return None


def unpacked(packed: bytes) -> Form:
    """Unpack the form of an attribute, without checking it.

    Raises
    ------
    SourceCorrupt
        If it can't be read.
    """
    try:
        form: Form = msgpack.unpackb(packed)
    except (ValueError, RecursionError, TypeError, msgpack.UnpackException) as error:
        raise SourceCorrupt(f"it can't be read: {error}") from None
    return form


def _of_vlmeta(packed: bytes) -> Form:
    try:
        return form_of(metadata.decode(packed, {NDARRAY: _array}))
    except (TypeError, ValueError, SourceCorrupt):  # an array that is none, say
        return form_of(metadata.jsonable(metadata.decode(packed)))


def _array(data: bytes, depth: int) -> Any:
    """Make the array of an extension: never of objects, and of as many bytes as there are."""
    fields = metadata.decode(data, {NDARRAY: _array}, depth)
    try:
        shape = _shape(fields["shape"])
        if "values" in fields:
            return _objects(fields["values"], shape)
        dtype = _dtype(fields["dtype"])
        if len(fields["data"]) != math.prod(shape) * dtype.itemsize:
            raise ValueError("its data does not fill its shape")
        return np.frombuffer(fields["data"], dtype).reshape(shape)
    except (ValueError, TypeError, KeyError, CatervaError) as error:
        raise SourceCorrupt(f"an array in metadata can't be read: {error}") from None


def _shape(shape: Any) -> list[int]:
    if len(shape) > constants.NDIM or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("its shape is not one of an array")
    if math.prod(max(n, 1) for n in shape) > constants.VLMETA_BYTES:
        raise ValueError("its shape is too large")
    return list(shape)


def _objects(values: list[Any], shape: list[int]) -> Any:
    """Return an array of objects as lists within lists, since these may be of any type."""
    if len(values) != math.prod(shape):
        raise ValueError("its values do not fill its shape")
    found = np.empty(len(values), object)
    for n, value in enumerate(values):
        found[n] = value
    return found.reshape(shape).tolist()


def _dtype(described: Any) -> np.dtype[Any]:
    if "str" in described:
        return dtypes.parse(described["str"])
    return dtypes.parse(repr([_field(field) for field in described["descr"]]))


def _field(field: Any) -> tuple[Any, ...]:
    name, spec, *shape = field
    inner = [_field(one) for one in spec] if isinstance(spec, list) else spec
    return (name, inner, *(tuple(one) for one in shape))
