"""Metadata of Zarr: .zarray, .zattrs and zarr.json, and chunks as it says how they are stored."""

from __future__ import annotations

import contextlib

from caterva2.errors import SourceCorrupt
from caterva2.formats import zarr_metadata
from caterva2.formats.zarr_metadata import ArrayMetadata

ITEMS = 2**16
"""Items of a chunk above which none is decoded."""
STORED = (b"", b"\0" * 64, bytes(range(256)))


def one(data: bytes) -> None:
    with contextlib.suppress(SourceCorrupt):
        zarr_metadata.is_array(data)
    with contextlib.suppress(SourceCorrupt):
        zarr_metadata.attributes(data)
    with contextlib.suppress(SourceCorrupt):
        use(zarr_metadata.version2(data, {"_ARRAY_DIMENSIONS": ["x", "y"]}))
    with contextlib.suppress(SourceCorrupt):
        use(zarr_metadata.version3(data))


def use(found: ArrayMetadata) -> None:
    found.key([0] * len(found.shape))
    items = 1
    for size in found.chunks:
        items *= size
    for stored in STORED if items <= ITEMS else ():
        with contextlib.suppress(SourceCorrupt):
            values = found.pipeline.decode(stored, found.chunks)
            assert values.shape == found.chunks
