"""Values of the chunks of an HDF5 dataset."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from caterva2.sources.hdf5.layout import Layout


def values_of(dataset: h5py.Dataset, layout: Layout, n: int) -> npt.NDArray[Any]:
    """Read the values of a chunk into an array of whole blocks, padded with zeros."""
    start = layout.start(n)
    count = tuple(
        min(c, size - at) for c, size, at in zip(layout.chunks, layout.shape, start, strict=True)
    )
    # Read as the file has them: HDF5 does not turn an enumeration into its numbers, say.
    found = np.zeros(layout.padded, dataset.dtype)
    memory = file = h5py.h5s.ALL
    if start:
        memory = h5py.h5s.create_simple(layout.padded)
        memory.select_hyperslab((0,) * len(start), count)
        file = dataset.id.get_space()
        file.select_hyperslab(start, count)
    dataset.id.read(memory, file, found)
    if found.dtype == layout.dtype:
        return found.view(layout.dtype)
    served = np.zeros(layout.padded, layout.dtype)
    served[...] = found
    return served
