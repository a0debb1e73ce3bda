"""Any chunk of an HDF5 dataset as a raw Blosc2 chunk."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from caterva2 import limits
from caterva2.frames import packing
from caterva2.sources.hdf5.layout import Layout

CONVERTED_BYTES = 32 * limits.MIB
"""Converted chunks that are kept, since several subscribers may ask for the same ones."""


def values_of(dataset: h5py.Dataset, layout: Layout, n: int) -> npt.NDArray[Any]:
    """The values of a chunk, in an array of the shape of its whole blocks; zeros fill it up."""
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


def pack(values: npt.NDArray[Any], layout: Layout) -> bytes:
    """A raw chunk of the values of its whole blocks."""
    return packing.pack(values, layout.blocks, layout.cparams)


class Conversions:
    """The chunks that were converted last, up to a number of bytes."""

    def __init__(self, most: int = CONVERTED_BYTES) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.nbytes = 0

    def get(self, key: tuple[str, int]) -> bytes | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: tuple[str, int], chunk: bytes) -> None:
        if len(chunk) > self._most:
            return
        with self._lock:
            self.nbytes += len(chunk) - len(self._kept.pop(key, b""))
            self._kept[key] = chunk
            while self.nbytes > self._most:
                self.nbytes -= len(self._kept.popitem(last=False)[1])
