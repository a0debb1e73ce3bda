"""Needs: the chunks that a read needs, and whether a description is that of what is read."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from caterva2.arrays import dtypes
from caterva2.arrays import points as indices
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection, box
from caterva2.cache.replica import Replica
from caterva2.client.read.region import Region
from caterva2.client.read.values import Source
from caterva2.model import DatasetInfo

Ids = npt.NDArray[np.int64]


def wanted(region: Region) -> Selection | Points:
    """Return what a region selects, as replicas are read."""
    if not region.is_fancy:
        return region.selection
    axes = tuple(
        axis if isinstance(axis, range) else np.asarray(axis, np.int64) for axis in region.axes
    )
    return Points(region.shape, axes, region.block)


def chunk_ids(source: Source, wanted: Selection | Points) -> Ids:
    """Return the numbers of the chunks that a read needs, in ascending order."""
    if not math.prod(source.shape):
        return np.empty(0, np.int64)
    if isinstance(wanted, Selection):
        return np.unique(box(wanted, source.chunks).chunk_ids)
    groups = indices.group(wanted, source.chunks)
    across = box(wanted.ranges, tuple(source.chunks[n] for n in wanted.ranged)).chunk_ids
    numbers = indices.renumber(across, wanted, source.chunks)
    return np.unique(np.add.outer(groups.bases, numbers).ravel())


def chunk_bytes(source: Source, replica: Replica | None) -> float:
    """Estimate the stored bytes of a chunk; decoded ones if nothing is known of it."""
    if replica is not None and replica.info.nchunks:
        return replica.info.cbytes / replica.info.nchunks
    return math.prod(source.chunks) * source.dtype.itemsize


def fits(info: DatasetInfo, source: Source, path: str) -> bool:
    """Return whether a description is that of a version that is being read."""
    if (info.etag, info.path) != (source.version, path) or info.chunks != source.chunks:
        return False
    if source.is_bytes or info.kind != "array":
        return source.is_bytes == (info.kind != "array") and info.shape == source.shape
    shown = dtypes.parse(dtypes.displayed(info.dtype))  # as the source's, which is from a document
    return info.shape == source.shape and shown == source.dtype
