"""Names of the dimensions of HDF5 datasets, as netCDF, HDF5, zarr and NeXus write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g

from caterva2.arrays.attributes import Empty, Reference
from caterva2.arrays.dimensions import Dims, checked
from caterva2.errors import CatervaError
from caterva2.hdf5 import typed
from caterva2.hdf5.links import ERRORS, resolve, root_of
from caterva2.sources.layout import Refused

SCANNED = 4096
"""Links of a group up to which netCDF's dimensions are looked for by their numbers."""
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"
"""What netCDF's libraries call a scale that has nothing but a size; the size follows."""
_SCALE, _NUMBER, _NUMBERS = b"CLASS", b"_Netcdf4Dimid", b"_Netcdf4Coordinates"


class Dimensions:
    """Finds the names of dimensions in one version of a file.

    Parameters
    ----------
    file : h5py.File
    """

    def __init__(self, file: h5py.File) -> None:
        self._root = root_of(file)
        self._numbered: dict[str, dict[int, str]] = {}

    def of(self, dataset: Any, name: str) -> Dims:
        """Return the names of a dataset's dimensions, None for one without; () if all are.

        Parameters
        ----------
        dataset : DatasetID
        name : str
            Its path in the file, without the leading slash.
        """
        ndim = dataset.rank
        for find in (_attached, self._by_number, _own, _listed, self._nexus):
            try:
                dims = checked(find(dataset, name, ndim), ndim)
            except (*ERRORS, CatervaError):
                continue  # an attribute that can't be read: its own reading says so
            if any(dims):
                return dims
        return ()

    def _by_number(self, dataset: Any, name: str, ndim: int) -> Iterable[object]:
        """Find netCDF's dimensions by the numbers that some of its variables note."""
        numbers = _attribute(dataset, _NUMBERS)
        if numbers is None or numbers.shape != (ndim,):
            return ()
        known: dict[int, str] = {}
        group = name
        while group:
            group = group.rpartition("/")[0]
            known = self._numbers_in(group) | known
        return (known.get(int(number)) for number in numbers)

    def _numbers_in(self, name: str) -> dict[int, str]:
        """Return the dimensions that a group defines, by their numbers."""
        if name not in self._numbered:
            group = resolve(self._root, self._root, name.encode())
            self._numbered[name] = found = {}
            if isinstance(group, h5g.GroupID) and len(group) <= SCANNED:
                for child in group:
                    number = _number_of(group, child)
                    if number is not None:
                        found[number] = child.decode("utf-8", "surrogateescape")
        return self._numbered[name]

    def _nexus(self, dataset: Any, name: str, ndim: int) -> Iterable[object]:
        """Find the axes of the signal of a group, or those that older files note beside data."""
        parent, _, own = name.rpartition("/")
        group = resolve(self._root, self._root, parent.encode())
        signals = [*_texts(group, b"signal"), *_texts(group, b"auxiliary_signals")]
        axes = _texts(group, b"axes") if own in signals else []
        if not axes and h5a.exists(dataset, b"signal"):
            axes = _texts(dataset, b"axes")
        if len(axes) == 1 and ndim > 1:
            axes = re.split("[:,]", axes[0].strip("[]"))
        if len(axes) > ndim:
            return ()
        return [*("" if axis == "." else axis for axis in axes), *[None] * (ndim - len(axes))]


def has_no_variable(dataset: Any) -> bool:
    """Return whether a dataset only keeps the name and size of a dimension, as netCDF has it.

    One that has data is a dataset, whatever it calls itself.
    """
    if dataset.rank != 1 or dataset.get_storage_size() or not h5a.exists(dataset, b"NAME"):
        return False
    try:
        names = _texts(dataset, b"NAME")
        return bool(names) and names[0].startswith(_NO_VARIABLE) and _is_scale(dataset)
    except (*ERRORS, Refused):
        return False


def _attached(dataset: Any, _: str, ndim: int) -> Iterable[object]:
    """Find the scales that are attached to a dataset: the first one of each dimension.

    A dimension without a scale may have a label.
    """
    names = _texts(dataset, b"DIMENSION_LABELS") or [""] * ndim
    scales = _attribute(dataset, b"DIMENSION_LIST")
    if scales is not None and scales.shape == (ndim,) == (len(names),):
        for n, run in enumerate(scales.tolist()):
            if isinstance(run, np.ndarray) and len(run) and isinstance(run[0], Reference):
                names[n] = run[0].rpartition("/")[2]
    return names


def _own(dataset: Any, name: str, ndim: int) -> Iterable[object]:
    """Name the dimension of a scale after the scale."""
    return [name.rpartition("/")[2]] if ndim == 1 and _is_scale(dataset) else ()


def _listed(dataset: Any, *_: object) -> Iterable[object]:
    """Find the names that zarr notes among the attributes."""
    return _texts(dataset, b"_ARRAY_DIMENSIONS")


def _is_scale(owner: Any) -> bool:
    return _texts(owner, _SCALE) == ["DIMENSION_SCALE"]


def _number_of(group: Any, child: bytes) -> int | None:
    """Return netCDF's number of a dimension, None for what is none."""
    try:
        found = h5d.open(group, child) if group.links.get_info(child).type == 0 else None
        if found is None or not h5a.exists(found, _NUMBER) or not _is_scale(found):
            return None
        return int(_attribute(found, _NUMBER)[()])
    except (*ERRORS, Refused):
        return None


def _attribute(owner: Any, name: bytes) -> Any:
    """Return the value of an attribute as an array, None if it has none."""
    value = typed.value(owner, name) if h5a.exists(owner, name) else None
    return None if isinstance(value, Empty) else value


def _texts(owner: Any, name: bytes) -> list[str]:
    """Return the texts in an attribute, or the only one."""
    value = _attribute(owner, name)
    items = [] if value is None else value.reshape(-1).tolist()
    return [item for item in items if isinstance(item, str)]
