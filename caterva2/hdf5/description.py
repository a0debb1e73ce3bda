"""Descriptions of HDF5 datasets and groups."""

from __future__ import annotations

from typing import Any

import h5py

from caterva2.arrays import dtypes
from caterva2.errors import SourceCorrupt
from caterva2.hdf5 import attributes, typed
from caterva2.hdf5.dimensions import Dimensions
from caterva2.hdf5.layout import Layout
from caterva2.hdf5.links import SUFFIX
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.sources.kinds import group_info

Refusals = dict[str, str]
"""Reasons why attributes are left out, by their names."""


def describe(
    dataset: h5py.Dataset,
    layout: Layout,
    dimensions: Dimensions,
    path: DatasetPath,
    etag: str,
    mtime: float,
) -> tuple[DatasetInfo, Refusals]:
    """Describe a dataset.

    Parameters
    ----------
    dataset : h5py.Dataset
    layout : Layout
        How it is served.
    dimensions : Dimensions
        Of its file.
    path : DatasetPath
    etag : str
    mtime : float

    Raises
    ------
    SourceCorrupt
        If its description makes no sense.
    """
    attrs, refused = typed.read(dataset.id)
    dims = dimensions.of(dataset.id, path.removesuffix(SUFFIX))
    if dims:  # items that are arrays add axes without names
        dims += (None,) * (len(layout.shape) - len(dims))
    try:
        info = DatasetInfo(
            path=path, etag=etag, mtime=mtime, kind="array",
            shape=layout.shape, chunks=layout.chunks, blocks=layout.blocks,
            dtype=dtypes.describe(layout.dtype), typesize=layout.dtype.itemsize,
            chunksize=layout.chunksize, blocksize=layout.blocksize,
            nbytes=layout.chunksize * layout.nchunks, cbytes=dataset.id.get_storage_size(),
            cparams=layout.cparams, vlmeta=attributes.read(dataset), attrs=attrs,
            dims=dims,
        )  # fmt: skip
    except ValueError as error:
        reason = str(error).splitlines()[-2].strip()
        raise SourceCorrupt(f"its description makes no sense: {reason}", subject=path) from None
    return info, refused


def describe_group(
    group: Any, path: DatasetPath, etag: str, mtime: float
) -> tuple[DatasetInfo, Refusals]:
    """Describe a group, given by its identifier; all that it has are its attributes."""
    attrs, refused = typed.read(group)
    return group_info(path, etag, mtime, attrs), refused
