"""What an import notes of the datasets and groups of an HDF5 file, see `notes`."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from h5py import h5, h5g, h5i, h5o, h5p, h5t
from h5py.h5l import TYPE_HARD

from caterva2.conversion import compression, hdf5_types
from caterva2.conversion.attributes import Attributes, is_ordered
from caterva2.conversion.notes import Notes
from caterva2.hdf5.links import ERRORS, resolve
from caterva2.sources.layout import Refused


def of_dataset(dataset: h5py.Dataset, attributes: Attributes) -> Notes:
    """Return the notes of a dataset."""
    plist, dtype = dataset.id.get_create_plist(), dataset.dtype
    inner = list(dtype.shape)  # axes of items that are arrays
    notes: Notes = {
        "type": hdf5_types.describe(dataset.id.get_type()),
        "chunks": [*dataset.chunks, *inner] if dataset.chunks else [],
        "filters": compression.describe(plist)[0],
        "ordered": is_ordered(plist),
        "types": attributes.types,
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


def of_dimension(dataset: h5py.Dataset, attributes: Attributes) -> Notes:
    """Return the notes of a dataset that only keeps the name and size of a dimension."""
    return of_dataset(dataset, attributes) | {
        "size": int(dataset.shape[0]), "attrs": attributes.packed,
    }  # fmt: skip


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


def of_group(
    group: Any, attributes: Attributes, named: dict[str, Any], dimensions: dict[str, Notes]
) -> Notes:
    """Return the notes of a group.

    Parameters
    ----------
    group : GroupID
    attributes : Attributes
    named : dict
        The types in the group, by their names, as `hdf5_types` describes them.
    dimensions : dict
        The notes of the dimensions in the group that have no variable, by their names.
    """
    plist = group.get_create_plist()
    notes: Notes = {
        "attrs": attributes.packed, "types": attributes.types, "ordered": is_ordered(plist),
        "named": named, "dimensions": dimensions,
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
