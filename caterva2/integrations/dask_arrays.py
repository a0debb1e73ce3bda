"""Arrays of dask over remote datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np

from caterva2.integrations import grids

if TYPE_CHECKING:
    from caterva2.client.objects.dataset import Dataset

PIECE = 2**25
"""Bytes of the pieces that dask reads, each with a request: large enough that tasks and round trips
cost little beside their reading. Powers of two are what most chunks divide."""


class Slices:
    """What dask reads of a dataset: its slices alone.

    An array that has operators is one in memory for dask, which copies it.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.shape, self.dtype, self.ndim = dataset.shape, dataset.dtype, dataset.ndim

    def __getitem__(self, key: Any) -> Any:
        return self._dataset[key]

    def __dask_tokenize__(self) -> tuple[str, ...]:
        return self._dataset.__dask_tokenize__()


def array_of(dataset: Dataset, chunks: Any = "auto") -> Any:
    """Make a dask array of the known version of a dataset.

    Parameters
    ----------
    dataset : Dataset
    chunks : optional
        As for `dask.array.from_array`; ``"auto"`` are multiples of the dataset's chunks.
    """
    pinned = dataset.pinned()
    if isinstance(chunks, str) and chunks == "auto":
        chunks = grids.pieces(pinned.shape, pinned.chunks, pinned.dtype.itemsize, PIECE)
    meta = np.empty((0,) * pinned.ndim, pinned.dtype)
    source = Slices(pinned)
    return dask.array.from_array(source, chunks=chunks, meta=meta, asarray=True, lock=False)
