"""Values of the chunks of an HDF5 dataset."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from caterva2.arrays import text
from caterva2.hdf5.layout import Layout


def values_of(dataset: h5py.Dataset, layout: Layout, n: int) -> npt.NDArray[Any]:
    """Read the values of a chunk into an array of whole blocks, padded with zeros."""
    part = layout.slices(n)
    found = read(dataset, part[: len(dataset.shape)])
    if found.shape == layout.padded and found.dtype == layout.dtype:
        return found.view(layout.dtype)
    served = np.zeros(layout.padded, layout.dtype)
    inside = tuple(slice(place.stop - place.start) for place in part)
    text.fill(served[inside] if inside else served, found)
    return served


def read(dataset: h5py.Dataset, part: tuple[slice, ...]) -> npt.NDArray[Any]:
    """Read values as the file has them: HDF5 does not turn an enumeration into its numbers, say.

    Text of variable length is `bytes`.
    """
    count = tuple(place.stop - place.start for place in part)
    stored = dataset.dtype
    found = np.zeros(count, stored)  # of more dimensions, where the items are arrays
    memory = file = h5py.h5s.ALL
    if part:
        memory, file = h5py.h5s.create_simple(count), dataset.id.get_space()
        file.select_hyperslab(tuple(place.start for place in part), count)
    dataset.id.read(memory, file, found, mtype=h5py.h5t.py_create(stored))
    return found
