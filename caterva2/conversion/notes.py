"""Notes: facts of HDF5 that Blosc2 does not have, kept by an import for an export.

Those of a dataset are an entry of the array's vlmeta, those of a group a hidden file in its
directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5, h5g, h5i, h5o, h5p, h5t
from h5py.h5l import TYPE_HARD

from caterva2.arrays.attributes import Form
from caterva2.conversion import compression, hdf5_types
from caterva2.conversion.attributes import Attributes, is_ordered
from caterva2.errors import SourceCorrupt
from caterva2.frames import attributes as typed
from caterva2.frames import metadata
from caterva2.hdf5.attributes import NOTES
from caterva2.hdf5.links import ERRORS, resolve
from caterva2.limits import constants
from caterva2.model import DatasetInfo
from caterva2.sources.directory import group_files
from caterva2.sources.layout import Refused

Notes = dict[str, Any]
LARGE = 32_000
"""Bytes of a packed attribute above which it may not fit into the plain header of an object."""


@dataclass(frozen=True, slots=True)
class Group:
    """The notes of a group: the forms of its attributes, and everything else."""

    forms: dict[str, Form] = field(default_factory=dict)
    notes: Notes = field(default_factory=dict)

    @property
    def order(self) -> list[str]:
        """Names of links in the order in which they were made, if that is known."""
        found = self.notes.get("order")
        return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []

    @property
    def is_ordered(self) -> bool:
        """Whether the order in which links and attributes are made is to be kept."""
        large = any(len(str(form)) > LARGE for form in self.forms.values())
        return large or "order" in self.notes or bool(self.notes.get("ordered"))


def table(notes: Notes, name: str) -> dict[str, Any]:
    """Return a note that is a dictionary, an empty one for any other."""
    found = notes.get(name)
    return found if isinstance(found, dict) else {}


def of_dataset(vlmeta: Mapping[str, bytes]) -> Notes:
    """Return the notes in an array's vlmeta."""
    try:
        found = metadata.decode(vlmeta[NOTES]) if NOTES in vlmeta else None
    except SourceCorrupt:
        found = None
    return found if isinstance(found, dict) else {}


def annotated(info: DatasetInfo, dataset: h5py.Dataset, attributes: Attributes) -> DatasetInfo:
    """Return the description of an imported array, with what is noted of its dataset.

    Raises
    ------
    SourceCorrupt
        If that is too large.
    """
    own = {NOTES: metadata.encode(_of_dataset(dataset) | {"types": attributes.types})}
    # Without the plain values, if all is too much: a reader of attributes needs the others.
    for plain in (info.vlmeta, dict[str, bytes]()):
        bare = DatasetInfo.model_validate(dict(info) | {"vlmeta": plain})
        made = plain | own | typed.notes(bare)
        if sum(map(len, made.values())) <= constants.VLMETA_BYTES:
            return DatasetInfo.model_validate(dict(bare) | {"vlmeta": made, "attrs": {}})
    raise SourceCorrupt(f"has more metadata than VLMETA_BYTES, {constants.VLMETA_BYTES}")


def _of_dataset(dataset: h5py.Dataset) -> Notes:
    plist, dtype = dataset.id.get_create_plist(), dataset.dtype
    inner = list(dtype.shape)  # axes of items that are arrays
    notes: Notes = {
        "type": hdf5_types.describe(dataset.id.get_type()),
        "chunks": [*dataset.chunks, *inner] if dataset.chunks else [],
        "filters": compression.describe(plist)[0],
        "ordered": is_ordered(plist),
    }
    if dataset.chunks is not None and dataset.maxshape != dataset.shape:
        notes["maxshape"] = list(dataset.maxshape)
    if not dtype.hasobject and dtype.subdtype is None:
        fill = np.asarray(dataset.fillvalue, dtype)
        if np.any(fill != np.zeros((), dtype)):
            notes["fill"] = fill.tobytes()
    if dataset.id.get_type().committed():  # netCDF knows its types by their names
        notes["named"] = (h5i.get_name(dataset.id.get_type()) or b"").decode()
    return notes


def keeps_type(dataset: h5py.Dataset) -> bool:
    """Return whether an export gives a dataset its type again, not only its values."""
    return hdf5_types.describe(dataset.id.get_type()) is not None


def named_type(root: Any, name: str) -> Any:
    """Return the type that a path in a file names, None if it is something else."""
    group, _, child = name.rpartition("/")
    try:
        parent = resolve(root, root, group.encode())
        link = child.encode()
        if not isinstance(parent, h5g.GroupID) or parent.links.get_info(link).type != TYPE_HARD:
            return None
        found = h5o.open(parent, link)
    except (*ERRORS, Refused):
        return None
    return found if isinstance(found, h5t.TypeID) else None


def of_group(group: Any, attributes: Attributes, named: dict[str, Any]) -> Notes:
    """Return the notes of a group.

    Parameters
    ----------
    group : GroupID
    attributes : Attributes
    named : dict
        The types in the group, by their names, as `hdf5_types` describes them.
    """
    plist = group.get_create_plist()
    notes: Notes = {
        "attrs": attributes.packed, "types": attributes.types, "ordered": is_ordered(plist),
        "named": named,
    }  # fmt: skip
    if plist.get_link_creation_order() & h5p.CRT_ORDER_TRACKED:
        notes["order"] = _links_in_order(group)
    return notes


def _links_in_order(group: Any) -> list[str]:
    found: list[str] = []
    group.links.iterate(
        lambda name: found.append(name.decode("utf-8", "replace")), idx_type=h5.INDEX_CRT_ORDER
    )
    return found


def write_group(directory: Path, notes: Notes) -> list[str]:
    """Write the notes of a group; return what is left out since it would be too large."""
    left: list[str] = []
    kept: Notes = {"values": {}} | notes
    if not any(notes.values()):
        return left
    for name in ("order", "named", "types"):
        if len(metadata.encode(kept)) <= constants.VLMETA_BYTES:
            break
        if kept.pop(name, None):
            left.append(name)
    (directory / group_files.GROUP_FILE).write_bytes(metadata.encode(kept))
    return left


def read_group(directory: Path) -> Group:
    """Read what is noted of a group.

    Raises
    ------
    SourceCorrupt
        If the file has other content.
    """
    path = directory / group_files.GROUP_FILE
    if path.is_symlink() or not path.is_file():
        return Group()
    with path.open("rb") as file:
        kept = group_files.read(file.read(constants.VLMETA_BYTES + 1))
    packed = group_files.attributes(kept)
    return Group({name: typed.unpacked(stored) for name, stored in packed.items()}, kept)
