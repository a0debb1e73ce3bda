"""Attributes with their types, written to an HDF5 file."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from caterva2.arrays.attributes import BYTES, RECORD, REFERENCE, TEXT, VLEN, Form, array_of

SCALES, USERS = "DIMENSION_LIST", "REFERENCE_LIST"
"""Attributes of datasets and of scales, which refer to each other: HDF5 writes both itself."""


def refers(form: Form) -> bool:
    """Return whether there are references in an attribute."""
    parts = [*form.get("fields", {}).values()]
    if form["dtype"] == VLEN and form["shape"] is not None:
        parts.append(form["items"])
    return form["dtype"] == REFERENCE or any(map(refers, parts))


def write(owner: h5py.HLObject, name: str, form: Form) -> None:
    """Write an attribute; what a reference leads to has to be in the file.

    Scales are attached to dimensions, which writes the references of both.

    Raises
    ------
    BadMessage, TypeError, ValueError, KeyError
        If HDF5 can't hold it.
    """
    if name == USERS:
        return
    if name == SCALES and isinstance(owner, h5py.Dataset):
        _attach(owner, form)
        return
    if form.get("shape", ()) is None:
        owner.attrs[name] = h5py.Empty(_simple(form["dtype"]))
        return
    values, dtype = array_of(form), _dtype(form)
    assert values is not None
    owner.attrs.create(name, _stored(values, dtype, owner.file), values.shape, dtype)


def _attach(dataset: h5py.Dataset, form: Form) -> None:
    scales = array_of(form)
    for n, run in enumerate(() if scales is None else scales.tolist()):
        for path in run:
            dataset.dims[n].attach_scale(dataset.file[path])


def _dtype(form: Form) -> np.dtype[Any]:
    """Return h5py's dtype of an attribute's items."""
    kind, ndim = form["dtype"], len(form["shape"])
    if kind == RECORD:
        return np.dtype(
            [
                (name, _dtype(one), tuple(one["shape"][ndim:]))
                for name, one in form["fields"].items()
            ]
        )
    if kind == VLEN:
        made: np.dtype[Any] = h5py.vlen_dtype(_dtype(form["items"]))
        return made
    if "enum" in form:
        enumeration: np.dtype[Any] = h5py.enum_dtype(form["enum"], basetype=np.dtype(kind))
        return enumeration
    return _simple(kind)


def _simple(kind: str) -> np.dtype[Any]:
    special: dict[str, np.dtype[Any]] = {
        TEXT: h5py.string_dtype(), BYTES: h5py.string_dtype("ascii"), REFERENCE: h5py.ref_dtype,
        RECORD: np.dtype("f8"), VLEN: np.dtype("f8"),
    }  # fmt: skip
    found: np.dtype[Any] = special[kind] if kind in special else np.dtype(kind)
    if found.kind == "U":
        found = special[TEXT]
    if found.kind in "Mm":
        opaque: np.dtype[Any] = h5py.opaque_dtype(found)
        return opaque
    return found


def _stored(values: Any, dtype: np.dtype[Any], file: h5py.File) -> Any:
    """Return values as h5py takes them: references are those of the file."""
    if h5py.check_ref_dtype(dtype) is not None:
        made = np.empty(values.shape, h5py.ref_dtype)
        for at, path in np.ndenumerate(values):
            made[at] = file[path].ref if path in file else h5py.Reference()
        return made
    if dtype.fields is None:
        return values.astype(dtype) if values.dtype.kind in "UMm" else values
    record = np.zeros(values.shape, dtype)
    for name in dtype.names or ():
        record[name] = _stored(values[name], dtype[name].base, file)
    return record
