"""Chunks of an array as objects of Zarr: the stored blocks where Zarr can have them, or values."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import blosc2
import numpy as np
from numcodecs.blosc import Blosc

from caterva2.arrays import dtypes
from caterva2.formats import zarr_documents, zarr_dtypes
from caterva2.formats.zarr_documents import Document
from caterva2.frames import compose
from caterva2.frames.shards.index import ShardIndex
from caterva2.frames.shards.inner import repeated
from caterva2.frames.shards.shard import inner_chunks
from caterva2.model import DatasetInfo

LEVEL = 5
"""Of zstd, for chunks whose blocks can't be kept."""
Encode = Callable[[bytes | memoryview, int], bytes | None]


class ChunkFiles:
    """How the chunks of an array are stored in Zarr.

    Parameters
    ----------
    info : DatasetInfo
    fill : bytes
        The item that stands where nothing is stored; empty for zeros.
    """

    def __init__(self, info: DatasetInfo, fill: bytes) -> None:
        self._info, self._fill = info, fill if any(fill) else b""
        self._dtype = dtypes.parse(info.dtype)
        self._storage = zarr_documents.storage_of(info)
        self._parts = compose.array_template(
            info.chunks, info.chunks, info.blocks, info.dtype, info.cparams
        )
        self._blosc = Blosc("zstd", LEVEL, Blosc.SHUFFLE, typesize=min(info.typesize, 255))

    @property
    def are_kept(self) -> bool:
        """Whether stored blocks are not recompressed."""
        return self._storage != "values"

    @property
    def are_raw(self) -> bool:
        """Whether Zarr has no such dtype, so that items are bytes without a meaning."""
        described = zarr_dtypes.described3(self._dtype)[0]
        is_raw = isinstance(described, dict) and described["name"] == "raw_bytes"
        return is_raw and (self._dtype.kind != "V" or self._dtype.fields is not None)

    def document(self) -> Document:
        """Return the ``zarr.json`` of the array."""
        made = zarr_documents.array3(self._info, self._storage, "")
        made["attributes"].pop("caterva2", None)
        if self._dtype.kind == "U":  # xarray can't read it, and has no other use for it
            made["attributes"].pop("_FillValue", None)
        if self._fill:
            made["fill_value"] = _json(self._fill, self._dtype)
        if not self.are_kept:
            codec = {
                "cname": "zstd", "clevel": LEVEL, "shuffle": "shuffle", "blocksize": 0,
                "typesize": min(self._info.typesize, 255),
            }  # fmt: skip
            made["codecs"].append({"name": "blosc", "configuration": codec})
        return made

    def key(self, n: int) -> str:
        """Return the name of the file of a chunk, below the array."""
        grid = [-(-s // c) for s, c in zip(self._info.shape, self._info.chunks, strict=True)]
        where = np.unravel_index(n, grid) if grid else ()
        return "/".join(["c", *map(str, where)])

    def content(self, chunk: bytes | memoryview, n: int) -> bytes | None:
        """Return what the file of a chunk holds; None if there is none, as for zeros.

        Raises
        ------
        SourceCorrupt
            If the chunk is damaged.
        """
        if not self.are_kept:
            return self._packed(chunk)
        pieces = inner_chunks(chunk, n=n)
        if self._fill:
            zeros = repeated(b"\0", self._info.typesize, self._info.blocksize)
            pieces = [zeros if piece is None else piece for piece in pieces]
        if not any(pieces):
            return None
        if self._storage == "blosc":
            return pieces[0]
        sizes = np.array([len(piece or b"") for piece in pieces], np.int64)
        none = np.zeros_like(sizes)
        stored = [piece for piece in pieces if piece is not None]
        return b"".join((*stored, ShardIndex.of(sizes, none, none).encoded))

    def _packed(self, chunk: bytes | memoryview) -> bytes | None:
        values = blosc2.ndarray_from_cframe(bytes(compose.frame(self._parts, [chunk])))[()]
        raw = np.frombuffer(np.asarray(values).tobytes(), "u1")
        if not self._fill and not raw.any():
            return None
        packed: bytes = self._blosc.encode(raw)
        return packed


def _json(fill: bytes, dtype: np.dtype[Any]) -> Any:
    """Return an item as the fill value of version 3."""
    if dtype.kind in "fc" and dtype.itemsize <= (8 if dtype.kind == "f" else 16):
        parts = np.frombuffer(fill, dtype).view(f"{dtype.str[0]}f{dtype.itemsize // _parts(dtype)}")
        numbers = [_number(part) for part in parts]
        return numbers if dtype.kind == "c" else numbers[0]
    if dtype.kind in "biu":
        return np.frombuffer(fill, dtype)[0].item()
    if dtype.kind in "mM":
        return int(np.frombuffer(fill, dtype).view(f"{dtype.str[0]}i8")[0])
    return base64.b64encode(fill).decode()


def _parts(dtype: np.dtype[Any]) -> int:
    return 2 if dtype.kind == "c" else 1


def _number(part: Any) -> float | str:
    """Return a number, the name of one that JSON has not, or the bits of a special NaN."""
    if np.isfinite(part):
        return float(part)
    if np.isinf(part):
        return "Infinity" if part > 0 else "-Infinity"
    bits = np.asarray(part, part.dtype.newbyteorder("<")).tobytes()[::-1]
    usual = np.array(np.nan, f"<f{len(bits)}").tobytes()[::-1]
    return "NaN" if bits == usual else f"0x{bits.hex()}"
