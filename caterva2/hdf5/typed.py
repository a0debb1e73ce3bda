"""Typed attributes of HDF5 objects, packed as `frames.attributes` has them.

Strings are text where their bytes are valid in their character set, and bytes otherwise.
References are paths in the file. All else is what h5py makes of it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5a, h5i, h5o, h5r, h5s, h5t

from caterva2.arrays.attributes import RECORD, TEXT, VLEN, Empty, Reference
from caterva2.hdf5.attributes import names
from caterva2.hdf5.links import ERRORS
from caterva2.limits import constants
from caterva2.sources.attributes import typed
from caterva2.sources.layout import Refused

Array = npt.NDArray[Any]
SEARCHED = 64
"""References of one attribute for each of which HDF5 searches the file for a path."""
_CHARSETS = {h5t.CSET_ASCII: "ascii", h5t.CSET_UTF8: "utf-8"}


def read(owner: Any) -> tuple[dict[str, bytes], dict[str, str]]:
    """Read all attributes of a group or dataset, given by its identifier, see `sources.attributes`.

    The second value has the reasons why some are left out, by their names.
    """
    return typed(
        (raw.decode("utf-8", "surrogateescape"), functools.partial(value, owner, raw))
        for raw in names(owner)
    )


def value(owner: Any, name: bytes) -> Array | Empty:
    """Return the typed value of an attribute; an array also of a single item.

    Raises
    ------
    Refused
        If it is too large.
    """
    stored = h5a.open(owner, name)
    kind, dtype = stored.get_type(), stored.dtype
    memory = h5t.py_create(dtype)
    if stored.get_space().get_simple_extent_type() == h5s.NULL:
        return Empty(_empty_of(kind, dtype))
    shape = stored.shape
    if math.prod(shape) * max(dtype.itemsize, 1) > constants.ATTRS_BYTES:
        raise Refused(f"is larger than ATTRS_BYTES, {constants.ATTRS_BYTES}")
    if dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape, kind = shape + inner, kind.get_super()
    values = np.zeros(shape, dtype)
    stored.read(values, mtype=memory)
    return _typed(values, kind, owner)


def _empty_of(kind: Any, dtype: np.dtype[Any]) -> str:
    if isinstance(kind, h5t.TypeStringID):
        return TEXT
    if dtype.fields is not None:
        return RECORD
    return VLEN if dtype.hasobject else dtype.base.str


def _typed(values: Array, kind: Any, owner: Any) -> Array:
    """Convert what h5py read of a type: strings, references, and what holds them."""
    if isinstance(kind, h5t.TypeArrayID):
        return _typed(values, kind.get_super(), owner)
    if isinstance(kind, h5t.TypeStringID):
        return _texts(values, _CHARSETS[kind.get_cset()])
    if isinstance(kind, h5t.TypeReferenceID):
        return _references(values, owner)
    if isinstance(kind, h5t.TypeVlenID):
        base = kind.get_super()
        return _each(values, lambda item: _typed(np.asarray(item), base, owner))
    if values.dtype.fields is not None:
        return _record(values, kind, owner)
    return values


def _each(values: Array, convert: Any) -> Array:
    made = np.empty(values.size, object)
    for n, item in enumerate(values.reshape(-1).tolist()):
        made[n] = convert(item)
    found: Array = made.reshape(values.shape)
    # h5py notes in the dtype what objects are, and that is known of an empty array too.
    return found if values.size or not values.dtype.hasobject else found.astype(values.dtype)


def _texts(values: Array, charset: str) -> Array:
    try:
        return _each(values, lambda item: bytes(item).decode(charset))
    except UnicodeDecodeError:
        return values if values.dtype.kind == "S" else _each(values, bytes)


def _references(values: Array, owner: Any) -> Array:
    """Return the paths of what references lead to.

    HDF5 searches the whole file for each path, so a scale of netCDF that thousands of variables
    use would take minutes. For many references the file is gone through once.
    """
    paths = _paths(owner) if values.size > SEARCHED else {}
    return _each(values, lambda item: _reference(item, owner, paths))


def _paths(owner: Any) -> dict[int, str]:
    """Return a path of each object below the root group by the object's address."""
    found: dict[int, str] = {}

    def note(name: bytes, info: Any) -> None:
        found[info.addr] = "/" + name.decode("utf-8", "surrogateescape")

    h5o.visit(h5i.get_file_id(owner), note, info=True)
    return found


def _reference(item: Any, owner: Any, paths: dict[int, str]) -> Reference:
    """Return the path of what a reference leads to; that of a region is the dataset's."""
    if not item:
        return Reference()
    if paths:
        try:
            known = paths.get(h5o.get_info(h5r.dereference(item, owner)).addr)
        except ERRORS:
            return Reference()
        if known is not None:
            return Reference(known)
    try:
        name = h5r.get_name(item, owner)
    except ERRORS:
        return Reference()
    return Reference((name or b"").decode("utf-8", "surrogateescape"))


def _record(values: Array, kind: Any, owner: Any) -> Array:
    columns = {}
    for n, name in enumerate(values.dtype.names or ()):
        columns[name] = _typed(values[name], kind.get_member_type(n), owner)
    ndim = values.ndim
    dtype = np.dtype([(name, c.dtype, c.shape[ndim:]) for name, c in columns.items()])
    made = np.empty(values.shape, dtype)
    for name, column in columns.items():
        made[name] = column
    return made
