"""A Zarr store to write, and the source that serves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BloscCodec

from caterva2.stores.opening import open_zarr
from caterva2.stores.zarr.source import ZarrSource

VALUES = np.arange(60 * 70, dtype="f8").reshape(60, 70)


def served(place: Path) -> ZarrSource:
    source = open_zarr(place)
    source.scan()
    return source


def put(place: Path, name: str, values: Any = VALUES, **given: Any) -> zarr.Array:
    """Write an array into the store; Blosc is the codec if none is given."""
    group = zarr.open_group(place, mode="a", zarr_format=given.pop("zarr_format", 3))
    version3 = group.metadata.zarr_format == 3
    blosc = BloscCodec(cname="lz4") if version3 else numcodecs.Blosc("lz4")
    given = {"chunks": (30, 35), "compressors": blosc} | given
    made = group.create_array(name, shape=values.shape, dtype=values.dtype, **given)
    if values.size:
        made[...] = values
    return made
