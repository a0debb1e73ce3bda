"""Conversion of chunks of an HDF5 dataset to raw Blosc2 chunks."""

from __future__ import annotations

import threading
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from caterva2.frames import packing
from caterva2.limits import DEFAULTS
from caterva2.runtime.lru import Lru
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


def pack(values: npt.NDArray[Any], layout: Layout) -> bytes:
    """Compress the values of whole blocks into a raw chunk."""
    return packing.pack(values, layout.blocks, layout.cparams)


class Conversions:
    """The most recently used converted chunks; may be used from several threads.

    Parameters
    ----------
    max_bytes : int, optional
    """

    def __init__(self, max_bytes: int = DEFAULTS.publisher.converted_bytes) -> None:
        self._kept: Lru[tuple[str, int], bytes] = Lru(max_bytes, len)
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of all chunks that are kept."""
        return self._kept.size

    def get(self, key: tuple[str, int]) -> bytes | None:
        """Return the chunk of an etag and a chunk number."""
        return self._kept.get(key)

    def put(self, key: tuple[str, int], chunk: bytes) -> None:
        """Keep a chunk, unless it alone exceeds the bound."""
        with self._lock:
            self._kept.put(key, chunk)
