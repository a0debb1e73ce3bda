"""Dimension scales of arrays that name their dimensions, as those of Zarr and Blosc2 do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import h5py

from caterva2.conversion.attributes import FAILURES

NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable.{:10d}"
"""What netCDF's libraries call a scale that has nothing but a size."""


class NamedScales:
    """Attaches scales by the names of dimensions, when all datasets are in the file.

    A scale is the vector of that name and size beside a dataset or in a group around it. Where
    there is none, a dimension without a variable is made beside the dataset. If its name is taken,
    the name becomes a label.

    Parameters
    ----------
    file : h5py.File
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._noted: dict[str, Sequence[str | None]] = {}

    def note(self, dataset: h5py.Dataset, dims: Sequence[str | None]) -> None:
        """Note the names of a dataset's dimensions."""
        self._noted[dataset.name] = dims

    def attach(self) -> Iterator[tuple[str, str]]:
        """Attach all scales; yield the names of datasets with one that can't be, and why."""
        # Those of outer groups first: the dimensions that are made for them hold within.
        for name, dims in sorted(self._noted.items(), key=lambda item: item[0].count("/")):
            dataset = self._file[name]
            for axis, dim in enumerate(dims):
                try:
                    if dim:
                        self._name(dataset, axis, dim)
                except FAILURES as error:
                    yield name, f"the dimension {dim} can't be named: {error}"

    def _name(self, dataset: h5py.Dataset, axis: int, dim: str) -> None:
        scale = self._scale(dataset, dim, dataset.shape[axis])
        if scale is None:
            dataset.dims[axis].label = dim
            return
        if not scale.is_scale:
            scale.make_scale(dim)
        if scale != dataset:
            dataset.dims[axis].attach_scale(scale)

    def _scale(self, dataset: h5py.Dataset, dim: str, size: int) -> h5py.Dataset | None:
        """Return the scale of a dimension, which is made if it is missing; None if it can't be."""
        if "/" in dim or dim in (".", ".."):
            return None
        own = group = dataset.parent
        while True:
            found = group.get(dim)
            if isinstance(found, h5py.Dataset) and found.shape == (size,):
                return self._usable(found)
            if group.name == "/":
                break
            group = group.parent
        if dim in own:
            return None
        made = own.create_dataset(dim, (size,), ">f4")
        made.make_scale(NO_VARIABLE.format(size))
        return made

    def _usable(self, found: h5py.Dataset) -> h5py.Dataset | None:
        """Return a dataset that may be a scale: HDF5 attaches none to a scale."""
        dims = self._noted.get(found.name, ())
        return found if not dims or tuple(dims) == (found.name.rpartition("/")[2],) else None
