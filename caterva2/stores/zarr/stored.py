"""An array of a Zarr store at a time: its metadata, and the objects that its chunks lie in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caterva2.errors import SourceCorrupt
from caterva2.formats import codecs
from caterva2.formats.zarr_metadata import ArrayMetadata
from caterva2.frames import blosc1, packing
from caterva2.frames import chunk as chunks
from caterva2.frames.chunk import ChunkShape
from caterva2.model import CParams
from caterva2.runtime.lru import Lru
from caterva2.sources import layout as layouts
from caterva2.sources.chunk_source import Array
from caterva2.sources.layout import Layout
from caterva2.stores.store import Store
from caterva2.stores.zarr.contents import Contents

NOTHING = 2**64 - 1
"""Offset and size, in the index of a shard, of a chunk that is not stored."""
Index = npt.NDArray[np.uint64]


class Indexes:
    """The most recently used indexes of shards, by the etags of their arrays and their keys.

    Parameters
    ----------
    max_bytes : int
    """

    def __init__(self, max_bytes: int) -> None:
        self._kept: Lru[tuple[str, str], Index] = Lru(max_bytes, lambda index: index.nbytes)
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str]) -> Index | None:
        return self._kept.get(key)

    def put(self, key: tuple[str, str], index: Index) -> None:
        with self._lock:
            self._kept.put(key, index)


class Changed(Exception):
    """An object is not the one that was listed: it was written or removed since, or just before."""


@dataclass(frozen=True, slots=True)
class StoredArray:
    """A version of an array.

    Reads raise `Changed` for an object that does not belong to it.
    """

    store: Store
    prefix: str
    array: Array
    etag: str
    metadata: ArrayMetadata
    contents: Contents
    indexes: Indexes

    # --- layout ---

    def stored_layout(self) -> Layout | None:
        """Return the layout whose blocks are those of the stored chunks, None if there is none."""
        metadata = self.metadata
        same = layouts.served_dtype(metadata.dtype) == metadata.dtype
        if not metadata.pipeline.is_blosc or 0 in metadata.shape or not same:
            return None
        made = (_layout(metadata, header) for header in self._headers())
        return next((layout for layout in made if layout is not None), None)

    def _headers(self) -> Iterator[blosc1.Header]:
        """Yield headers of some chunks that are stored."""
        for key in self.contents.samples:
            start = 0
            if self.metadata.shards is not None:
                index = self._index(key)
                stored = index[index[:, 0] != NOTHING]
                if not len(stored):
                    continue
                start = int(stored[0, 0])
                if start >= 2**62:
                    continue  # no file is as long
            data = self._read(key, blosc1.HEADER, start, start + blosc1.HEADER)
            try:
                yield blosc1.header(data or b"")
            except SourceCorrupt:
                continue  # the reader of that chunk hears of it

    # --- chunks ---

    def passed(self, layout: Layout, data: bytes | None) -> bytes | None:
        """Return a stored chunk as a chunk of Blosc2; None if it has to be converted.

        Parameters
        ----------
        layout : Layout
        data : bytes, optional
            None where nothing is stored.
        """
        shape = ChunkShape.of("array", layout.dtype.itemsize, layout.blocksize)
        if data is None:
            kind = _special(self.metadata.fill, layout)
            return chunks.special(kind, shape, layout.chunksize) if kind else None
        if not self.metadata.pipeline.is_blosc or layout.padded != layout.chunks:
            return None
        header = blosc1.header(data)
        if (header.typesize, header.blocksize) != (shape.typesize, shape.blocksize):
            return None
        made = blosc1.rewritten(data, layout.chunksize)
        if made is not None:
            chunks.check(made, shape, layout.chunksize)
        return made

    def values(self, layout: Layout, data: bytes | None) -> npt.NDArray[Any]:
        """Return the values of a chunk, padded to whole blocks."""
        values = np.zeros(layout.padded, layout.dtype)
        place = tuple(slice(0, size) for size in layout.chunks)
        if data is None:
            values[place] = np.frombuffer(self.metadata.fill, self.metadata.dtype)[0]
        else:
            values[place] = self.metadata.pipeline.decode(data, self.metadata.chunks)
        return values

    def data(self, position: tuple[int, ...]) -> bytes | None:
        """Return the stored bytes of a chunk by its place in the grid; None if there are none."""
        metadata = self.metadata
        items = int(np.prod(metadata.chunks, dtype=np.int64))
        most = 2 * items * metadata.dtype.itemsize + codecs.ROOM
        if metadata.shards is None:
            return self._read(metadata.key(position), most)
        per = metadata.shards.per
        key = metadata.key([at // n for at, n in zip(position, per, strict=True)])
        inner = [at % n for at, n in zip(position, per, strict=True)]
        if not self.contents.has(key):
            return self._read(key, most)
        n = int(np.ravel_multi_index(inner, per)) if inner else 0
        offset, size = map(int, self._index(key)[n])
        if offset == NOTHING and size == NOTHING:
            return None
        if offset >= 2**62 or size > most:
            raise SourceCorrupt(f"the index of {key} has a chunk of {size} bytes at {offset}")
        return self._read(key, most, offset, offset + size)

    def _index(self, key: str) -> Index:
        """Return offsets and sizes of the chunks of a shard."""
        kept = self.indexes.get((self.etag, key))
        if kept is not None:
            return kept
        shards = self.metadata.shards
        assert shards is not None
        size = shards.index_bytes
        span = (-size, None) if shards.at_end else (0, size)
        data = self._read(key, size, *span) or b""
        if shards.checked:
            data = codecs.step("crc32c", {"location": "end"})(data, size)
        if len(data) != 16 * shards.count:
            raise SourceCorrupt(f"{key} has no index of its {shards.count} chunks")
        index = np.frombuffer(data, "<u8").reshape(-1, 2)
        self.indexes.put((self.etag, key), index)
        return index

    def _read(self, key: str, most: int, start: int = 0, stop: int | None = None) -> bytes | None:
        found = self.store.read(f"{self.prefix}/{key}".strip("/"), most, start, stop)
        if found is None:
            if self.contents.has(key):
                raise Changed(f"{key} is gone")
            return None
        if not self.contents.is_of(key, found[1]):
            raise Changed(f"{key} was written")
        return found[0]


def _special(fill: bytes, layout: Layout) -> int:
    """Return the kind of Blosc2's chunks without data that has a fill value; 0 if none has."""
    zero, nan = chunks.SPECIAL_KINDS
    if not any(fill):
        return zero
    if layout.dtype.str in ("<f4", "<f8") and fill == np.array(np.nan, layout.dtype).tobytes():
        return nan
    return 0


def _layout(metadata: ArrayMetadata, header: blosc1.Header) -> Layout | None:
    """Return the layout whose blocks are those of a stored chunk, None if there is none."""
    itemsize = metadata.dtype.itemsize
    nbytes = int(np.prod(metadata.chunks, dtype=np.int64)) * itemsize
    blocks = packing.rows(metadata.chunks, itemsize, header.blocksize)
    if blocks is None or header.nbytes != nbytes or not header.is_known:
        return None
    if header.typesize != ChunkShape.of("array", itemsize, header.blocksize).typesize:
        return None
    cparams = CParams(codec=header.codec or 0, filters=(0, 0, 0, 0, 0, header.filter))
    return Layout(metadata.shape, metadata.chunks, blocks, metadata.dtype, cparams)
