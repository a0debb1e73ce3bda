"""Any chunk of an HDF5 dataset as a raw Blosc2 chunk."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import Any

import blosc2
import h5py
import numpy as np
import numpy.typing as npt

from caterva2 import limits
from caterva2.frames import compose
from caterva2.frames.chunk import ChunkShape
from caterva2.roots.hdf5layout import Layout

CONVERTED_BYTES = 32 * limits.MIB
"""Converted chunks that are kept, since several subscribers may ask for the same ones."""
blosc2.set_releasegil(True)  # so that packing a chunk does not hold up an event loop


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
    shape = ChunkShape.of("array", layout.dtype.itemsize, layout.blocksize)
    cparams = compose.blosc_cparams(layout.cparams, shape.typesize, layout.blocksize)
    flat = _in_blocks(values, layout.blocks).reshape(-1).view(np.uint8)
    packed: bytes = blosc2.compress2(flat, cparams=cparams)
    return packed


def _in_blocks(values: npt.NDArray[Any], blocks: tuple[int, ...]) -> npt.NDArray[Any]:
    """The values in the order of a chunk, one block behind the other."""
    ndim = values.ndim
    if math.prod(blocks) == values.size:
        return np.ascontiguousarray(values)
    split = [
        part
        for size, block in zip(values.shape, blocks, strict=True)
        for part in (size // block, block)
    ]
    order = [*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2)]
    return np.ascontiguousarray(values.reshape(split).transpose(order))


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
