"""Metadata of Zarr, versions 2 and 3, of our datasets and directories."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from caterva2.arrays import dtypes
from caterva2.formats import zarr_attributes, zarr_dtypes
from caterva2.frames import attributes
from caterva2.frames.blocks import needs_whole_chunks
from caterva2.limits.constants import CHUNK_BLOCKS
from caterva2.model import DatasetInfo

Storage = Literal["shards", "blosc", "values"]
"""How a chunk appears: as a shard of its blocks, as its only block, or as decoded values."""
Document = dict[str, Any]
_CODECS = {0: "blosclz", 1: "lz4", 2: "lz4hc", 4: "zlib", 5: "zstd"}
_SHUFFLES = {1: "shuffle", 2: "bitshuffle"}
_SUFFIX = ".b2nd"
_TYPESIZE = 255


def storage_of(info: DatasetInfo, *, stored: bool = True) -> Storage:
    """Decide how the chunks of an array appear; nothing of a computed one is ``stored``.

    Blocks that do not divide their chunk can't be parts of a shard, since Zarr pads no chunk.
    zarr-python can't read shards of records.
    """
    grid = list(zip(info.chunks, info.blocks, strict=True))
    if not stored or not grid or any(not b or c % b for c, b in grid):
        return "values"
    if info.typesize > _TYPESIZE or needs_whole_chunks(info.cparams.filters):
        return "values"
    count = math.prod(c // b for c, b in grid)
    if count == 1:
        return "blosc"
    records = dtypes.parse(info.dtype).fields is not None
    return "values" if records or count > CHUNK_BLOCKS else "shards"


def chunk_shape(info: DatasetInfo) -> list[int]:
    """Return the shape of chunks, which has no zeros in Zarr."""
    return [max(n, 1) for n in info.chunks]


def _own(info: DatasetInfo, pinned: str) -> Document:
    dtype = zarr_dtypes.described3(dtypes.parse(info.dtype))[0]
    raw = isinstance(dtype, dict) and dtype["name"] == "raw_bytes"
    note = {"etag": info.etag, "pinned": pinned}
    return {"caterva2": note | ({"dtype": info.dtype} if raw else {})}


def _blosc(info: DatasetInfo) -> Document:
    used = [_SHUFFLES[code] for code in info.cparams.filters if code in _SHUFFLES]
    return {
        "cname": _CODECS.get(info.cparams.codec, "lz4"), "clevel": info.cparams.clevel,
        "shuffle": used[-1] if used else "noshuffle", "typesize": info.typesize, "blocksize": 0,
    }  # fmt: skip


def _codecs(info: DatasetInfo, storage: Storage) -> list[Document]:
    dtype = dtypes.parse(info.dtype)
    described = zarr_dtypes.described3(dtype)[0]
    plain: Document = {"name": "bytes"}
    raw = isinstance(described, dict) and described["name"] == "raw_bytes"
    if dtype.itemsize > 1 and not raw:
        order = zarr_dtypes.order_of(dtype)
        plain["configuration"] = {"endian": "big" if order == ">" else "little"}
    if storage == "values":
        return [plain]
    inner = [plain, {"name": "blosc", "configuration": _blosc(info)}]
    if storage == "blosc":
        return inner
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    sharding = {
        "chunk_shape": list(info.blocks), "codecs": inner,
        "index_codecs": [little, {"name": "crc32c"}], "index_location": "end",
    }  # fmt: skip
    return [{"name": "sharding_indexed", "configuration": sharding}]


def array3(info: DatasetInfo, storage: Storage, pinned: str) -> Document:
    """Return the ``zarr.json`` of an array.

    Parameters
    ----------
    info : DatasetInfo
    storage : str
    pinned : str
        Path of this version, below ``/zarr/``; empty in a file.
    """
    dtype = dtypes.parse(info.dtype)
    data_type, fill = zarr_dtypes.described3(dtype)
    made: Document = {
        "zarr_format": 3, "node_type": "array", "shape": list(info.shape), "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape(info)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill, "codecs": _codecs(info, storage),
        "attributes": _attributes3(info, dtype) | _own(info, pinned),
    }  # fmt: skip
    dims = _dims(info) if pinned else attributes.dims(info)
    return made | ({"dimension_names": list(dims)} if pinned or any(dims) else {})


def _dims(info: DatasetInfo) -> list[str]:
    """Return a name for each axis: xarray opens no array without."""
    known = attributes.dims(info) or (None,) * len(info.shape)
    name = info.path.basename.removesuffix(_SUFFIX)
    return [dim or f"{name}_{axis}" for axis, dim in enumerate(known)]


def _attributes3(info: DatasetInfo, dtype: np.dtype[Any]) -> Document:
    found = zarr_attributes.attributes(attributes.forms(info))
    if zarr_attributes.FILL in found:
        fill = zarr_attributes.xarray_fill(found.pop(zarr_attributes.FILL), dtype)
        found |= {} if fill is None else {zarr_attributes.FILL: fill}
    return found


def group3(attrs: Mapping[str, Any], note: Mapping[str, str]) -> Document:
    """Return the ``zarr.json`` of a group, without the metadata of what is in it."""
    own = {"caterva2": dict(note)} if note else {}
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attrs) | own}


def array2(info: DatasetInfo, storage: Storage) -> Document:
    """Return the ``.zarray`` of an array, whose chunks are blocks where these divide its chunks.

    Its fill value is that of the attribute, if there is one: programs mask it.
    """
    compressor, chunks = None, chunk_shape(info)
    if storage != "values":
        blosc = _blosc(info)
        shuffle = ["noshuffle", "shuffle", "bitshuffle"].index(blosc["shuffle"])
        compressor = {
            "id": "blosc", "cname": blosc["cname"], "clevel": blosc["clevel"], "shuffle": shuffle,
            "blocksize": 0,
        }  # fmt: skip
        chunks = list(info.blocks)
    found = zarr_attributes.attributes(attributes.forms(info)).get(zarr_attributes.FILL)
    numeric = dtypes.parse(info.dtype).kind in "biufc" and isinstance(found, int | float | str)
    return {
        "zarr_format": 2, "shape": list(info.shape), "chunks": chunks,
        "dtype": zarr_dtypes.described2(dtypes.parse(info.dtype)), "compressor": compressor,
        "fill_value": found if numeric else None, "order": "C", "filters": None,
        "dimension_separator": ".",
    }  # fmt: skip


def attributes2(info: DatasetInfo, pinned: str) -> Document:
    """Return the ``.zattrs`` of an array, with the names of its dimensions as xarray has them."""
    found = zarr_attributes.attributes(attributes.forms(info))
    found.pop(zarr_attributes.FILL, None)
    return found | {"_ARRAY_DIMENSIONS": _dims(info)} | _own(info, pinned)
