"""Arrays of dask over remote datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np

from caterva2.integrations import grids

if TYPE_CHECKING:
    from caterva2.client.objects import Dataset

PIECE = 32_000_000
"""Bytes of the pieces that dask reads: large enough that tasks cost little beside their reading."""


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
    return dask.array.from_array(pinned, chunks=chunks, meta=meta, asarray=True, lock=False)
