"""Notes: facts of HDF5 that Blosc2 does not have, kept by an import for an export.

Those of a dataset are an entry of the array's vlmeta, those of a group a hidden file in its
directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caterva2.frames import metadata
from caterva2.limits import constants
from caterva2.sources.directory import group_files
from caterva2.sources.hdf5 import types
from caterva2.sources.hdf5.attributes import NOTES, Attributes, plain

Notes = dict[str, Any]


def of_dataset(dataset: h5py.Dataset, attributes: Attributes) -> dict[str, bytes]:
    """Return a dataset's notes, as an entry of the array's vlmeta."""
    notes: Notes = {"chunks": list(dataset.chunks or ()), "types": attributes.types}
    if dataset.chunks is not None and dataset.maxshape != dataset.shape:
        notes["maxshape"] = list(dataset.maxshape)
    if np.any(np.asarray(dataset.fillvalue) != np.zeros((), dataset.dtype)):
        notes["fill"] = np.asarray(dataset.fillvalue, dataset.dtype).tobytes()
    if dataset.dtype.fields is not None:
        notes["offsets"] = [offset for _, offset, *_ in _fields(dataset.dtype)]
        notes["itemsize"] = dataset.dtype.itemsize
    names = h5py.check_enum_dtype(dataset.dtype)
    if names is not None and dataset.dtype != np.bool_:
        notes["enum"] = {name: plain(value) for name, value in names.items()}
    text = h5py.check_string_dtype(dataset.dtype)
    if text is not None:
        notes["string"] = types.describe(dataset.id.get_type())
        if text.encoding == "utf-8":
            notes["text"] = "utf-8"
    return {NOTES: metadata.encode(notes)}


def _fields(dtype: np.dtype[Any]) -> list[tuple[Any, ...]]:
    return [dtype.fields[name] for name in dtype.names or ()] if dtype.fields else []


def split(vlmeta: dict[str, bytes]) -> tuple[dict[str, Any], Notes]:
    """Split an array's vlmeta into attributes and notes."""
    values = metadata.decode_all(vlmeta)
    notes = values.pop(NOTES, None)
    return values, notes if isinstance(notes, dict) else {}


def write_group(directory: Path, attributes: Attributes) -> None:
    """Write a group's attributes."""
    if attributes.packed:
        kept = {"values": attributes.packed, "types": attributes.types}
        (directory / group_files.GROUP_FILE).write_bytes(metadata.encode(kept))


def read_group(directory: Path) -> tuple[dict[str, Any], Notes]:
    """Read a group's attributes and notes.

    Raises
    ------
    SourceCorrupt
        If the file has other content.
    """
    path = directory / group_files.GROUP_FILE
    if path.is_symlink() or not path.is_file():
        return {}, {}
    with path.open("rb") as file:
        kept = group_files.read(file.read(constants.VLMETA_BYTES + 1))
    return metadata.decode_all(kept["values"]), kept
