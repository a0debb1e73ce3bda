"""Text of variable length in HDF5 datasets: a bounded pass finds the dtype that holds all of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

import h5py
from h5py import h5o

from caterva2.arrays.text import Extents
from caterva2.hdf5 import frames
from caterva2.hdf5.conversion import read
from caterva2.hdf5.layout import served_dtype
from caterva2.limits import PublisherLimits
from caterva2.runtime.lru import Lru
from caterva2.sources.layout import DType, Refused

KEPT = 10_000
"""Datasets of a file whose dtypes are remembered."""
PIECE = 2**16
"""Items that are read at once, or a row of chunks if that is more."""


class Texts:
    """Measures text, each dataset of one version of a file once.

    Parameters
    ----------
    limits : PublisherLimits
    """

    def __init__(self, limits: PublisherLimits) -> None:
        self._limits = limits
        self._known: Lru[int, DType | Refused] = Lru(KEPT)

    def dtype(self, dataset: h5py.Dataset, stored: Iterable[bytes]) -> DType:
        """Return the dtype that a dataset with text is served with.

        Parameters
        ----------
        dataset : h5py.Dataset
        stored : iterable of bytes
            Its chunks that are Blosc2 frames, which are validated before HDF5 decodes them.

        Raises
        ------
        Refused
            If that takes more than the limits.
        """
        address = h5o.get_info(dataset.id).addr
        found = self._known.get(address)
        if found is None:
            try:
                found = served_dtype(dataset, self._measured(dataset, stored))
            except Refused as refused:
                found = refused
            self._known.put(address, found)
        if isinstance(found, Refused):
            raise Refused(found.detail)
        return found

    def _measured(self, dataset: h5py.Dataset, stored: Iterable[bytes]) -> Extents:
        limits, end = self._limits, time.monotonic() + self._limits.text_time
        if dataset.size > limits.text_items:
            raise Refused(f"has {dataset.size} items with text, more than {limits.text_items}")
        nbytes = math.prod(dataset.chunks or ()) * dataset.id.get_type().get_size()
        for frame in stored:
            frames.gate(frame, nbytes)
            _check(end, limits)
        found = Extents()
        for part in _pieces(dataset.shape, dataset.chunks):
            found.add(read(dataset, part))
            if found.nbytes > limits.text_bytes:
                raise Refused(f"has more than {limits.text_bytes} bytes of text")
            _check(end, limits)
        return found


def _check(end: float, limits: PublisherLimits) -> None:
    if time.monotonic() > end:
        raise Refused(f"has text that takes more than {limits.text_time} s to look at")


def _pieces(shape: tuple[int, ...], chunks: Any) -> Iterator[tuple[slice, ...]]:
    """Divide an array along its first axis, between chunks."""
    if not shape or 0 in shape:
        if not shape:
            yield ()
        return
    rows = chunks[0] if chunks else 1
    rows *= max(1, PIECE // (rows * math.prod(shape[1:])))
    rest = tuple(slice(0, size) for size in shape[1:])
    for at in range(0, shape[0], rows):
        yield slice(at, min(at + rows, shape[0])), *rest
