"""Notes: facts of HDF5 that Blosc2 does not have, kept by an import for an export.

Those of a dataset are an entry of the array's vlmeta, those of a group a hidden file in its
directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from caterva2.arrays.attributes import Form
from caterva2.arrays.text import has_text
from caterva2.frames import attributes as typed_attributes
from caterva2.frames import metadata
from caterva2.limits import constants
from caterva2.sources.directory import group_files
from caterva2.sources.hdf5 import types
from caterva2.sources.hdf5.attributes import NOTES, Attributes, plain
from caterva2.sources.layout import Refused

Notes = dict[str, Any]


class Kept(NamedTuple):
    """What an import kept of an object: plain attributes, typed ones, and notes."""

    values: dict[str, Any]
    forms: dict[str, Form]
    notes: Notes

    @property
    def names(self) -> list[str]:
        """Names of all attributes, in order."""
        return sorted(self.values.keys() | self.forms.keys())

    @property
    def types(self) -> dict[str, Any]:
        """HDF5's types of plain attributes, as far as these are noted."""
        found: dict[str, Any] = self.notes.get("types", {})
        return found

    def typed(self, name: str) -> Form | None:
        """Return the form of an attribute if that tells more than its plain value."""
        form = self.forms.get(name)
        known = name in self.values and name in self.types
        return None if form is None or (known and "enum" not in form) else form


def of_dataset(dataset: h5py.Dataset, attributes: Attributes) -> dict[str, bytes]:
    """Return a dataset's notes, as an entry of the array's vlmeta."""
    inner = list(dataset.dtype.shape)  # axes of items that are arrays
    chunks = [*dataset.chunks, *inner] if dataset.chunks else []
    notes: Notes = {"chunks": chunks, "types": attributes.types}
    if dataset.chunks is not None and dataset.maxshape != dataset.shape:
        notes["maxshape"] = [*dataset.maxshape, *inner]
    notes |= _fill_value(dataset)
    if dataset.dtype.fields is not None and not has_text(dataset.dtype):
        notes["offsets"] = [offset for _, offset, *_ in _fields(dataset.dtype)]
        notes["itemsize"] = dataset.dtype.itemsize
    names = h5py.check_enum_dtype(dataset.dtype)
    if names is not None and dataset.dtype != np.bool_:
        notes["enum"] = {name: plain(value) for name, value in names.items()}
    text = h5py.check_string_dtype(dataset.dtype.base)
    if text is not None:
        notes["string"] = types.describe(types.of_items(dataset.id.get_type()))
        if text.encoding == "utf-8":
            notes["text"] = "utf-8"
    return {NOTES: metadata.encode(notes)}


def _fill_value(dataset: h5py.Dataset) -> Notes:
    """Return the fill value, if there is one that an export can give back."""
    dtype = dataset.dtype
    if has_text(dtype) or dtype.subdtype is not None:
        return {}
    fill = np.asarray(dataset.fillvalue, dtype)
    return {"fill": fill.tobytes()} if np.any(fill != np.zeros((), dtype)) else {}


def _fields(dtype: np.dtype[Any]) -> list[tuple[Any, ...]]:
    return [dtype.fields[name] for name in dtype.names or ()] if dtype.fields else []


def split(vlmeta: dict[str, bytes]) -> Kept:
    """Split an array's vlmeta into attributes and notes."""
    values = metadata.decode_all(vlmeta)
    notes, forms = values.pop(NOTES, None), typed_attributes.noted(vlmeta)
    for name in (typed_attributes.TYPED, typed_attributes.DIMENSIONS):
        values.pop(name, None)
    return Kept(values, forms, notes if isinstance(notes, dict) else {})


def write_group(directory: Path, attributes: Attributes, typed: dict[str, bytes]) -> None:
    """Write a group's attributes.

    Raises
    ------
    Refused
        If they are too large for `read_group`.
    """
    if attributes.packed or typed:
        kept = {"values": attributes.packed, "types": attributes.types, "attrs": typed}
        content = metadata.encode(kept)
        if len(content) > constants.VLMETA_BYTES:
            raise Refused(f"has attributes of more than VLMETA_BYTES, {constants.VLMETA_BYTES}")
        (directory / group_files.GROUP_FILE).write_bytes(content)


def read_group(directory: Path) -> Kept:
    """Read a group's attributes and notes.

    Raises
    ------
    SourceCorrupt
        If the file has other content.
    """
    path = directory / group_files.GROUP_FILE
    if path.is_symlink() or not path.is_file():
        return Kept({}, {}, {})
    with path.open("rb") as file:
        kept = group_files.read(file.read(constants.VLMETA_BYTES + 1))
    typed = {typed_attributes.TYPED: metadata.encode(kept.get("attrs", {}))}
    return Kept(metadata.decode_all(kept["values"]), typed_attributes.noted(typed), kept)
