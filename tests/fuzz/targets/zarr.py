"""Metadata of Zarr, .zarray, .zattrs and zarr.json, and a chunk behind it."""

from __future__ import annotations

import contextlib
import math

from caterva2.errors import SourceCorrupt
from caterva2.formats import zarr_metadata
from caterva2.formats.zarr_metadata import ArrayMetadata

NBYTES = 2**20
"""Bytes of a chunk above which none is decoded."""


def one(data: bytes) -> None:
    document, _, chunk = data.partition(b"\0")
    with contextlib.suppress(SourceCorrupt):
        zarr_metadata.is_array(document)
    with contextlib.suppress(SourceCorrupt):
        zarr_metadata.attributes(document)
    with contextlib.suppress(SourceCorrupt):
        use(zarr_metadata.version2(document, {"_ARRAY_DIMENSIONS": ["x", "y"]}), chunk)
    with contextlib.suppress(SourceCorrupt):
        use(zarr_metadata.version3(document), chunk)


def use(found: ArrayMetadata, chunk: bytes) -> None:
    found.key([0] * len(found.shape))
    if math.prod(found.chunks) * found.pipeline.dtype.itemsize <= NBYTES:
        assert found.pipeline.decode(chunk, found.chunks).shape == found.chunks
