"""Chunks of Zarr made of stored chunks in the client's cache, as a subscriber makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from caterva2.client.client import Client
from caterva2.client.objects.dataset import Dataset
from caterva2.formats import zarr_documents
from caterva2.formats import zarr_names as names
from caterva2.formats.zarr_names import Key
from caterva2.frames import attributes
from caterva2.frames.shards.index import ShardIndex, index_of
from caterva2.frames.shards.inner import repeated
from caterva2.frames.shards.shard import inner_chunks, shard
from caterva2.names import parse_full

Part = tuple[int | None, int | None]
"""Start and stop of bytes as those of a Python slice."""


def document_of(dataset: Dataset) -> dict[str, Any] | None:
    """Return the ``zarr.json`` of a version of which the cache has chunks; None of others."""
    info = dataset._client.transport.kept.info(dataset._source)
    if info is None:
        return None
    forms = dataset.meta.get("attrs", {})  # what comes with chunks has none
    packed = {name: attributes.packed(form) for name, form in forms.items()}
    info = info.model_copy(update={"attrs": packed, "dims": dataset.dims})
    root, path = parse_full(str(dataset.path))
    pinned = names.pinned(root, info.etag, path)
    return zarr_documents.array3(info, zarr_documents.storage_of(info), pinned)


@dataclass(frozen=True, slots=True)
class Note:
    """What a document says of its array: the dataset, its version, and how its chunks appear."""

    path: str
    version: str
    storage: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self | None:
        """Return what a document says; None if it is of no array, or not of a subscriber."""
        try:
            target = names.parse(document["attributes"]["caterva2"]["pinned"])
            codecs = [one["name"] for one in document["codecs"]]
        except (KeyError, TypeError):
            return None
        storage = {"sharding_indexed": "shards", "blosc": "blosc"}.get(codecs[-1], "values")
        return cls(f"{target.root}/{target.below}", target.version, storage)


class KeptShards:
    """Chunks of some arrays. All methods may be called from any thread.

    Parameters
    ----------
    client : Client
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._opened: dict[Note, Dataset | None] = {}

    def get(self, note: Note, key: Key, part: Part) -> bytes | None:
        """Return bytes of a chunk; None if the subscriber is to be asked.

        Raises
        ------
        StaleVersion
            If the chunk is missing, and the dataset has another version.
        """
        dataset = self._dataset(note)
        if dataset is None:
            return None
        names.check_key(key, dataset.shape, dataset.chunks)
        if note.storage == "values":
            return _values(dataset, key)[slice(*part)]
        grid = tuple(-(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        n = int(np.ravel_multi_index(key, grid))
        chunk = self._client.transport.kept.chunk(dataset._source, n)
        if chunk is None:
            return None
        index = index_of(chunk)  # not kept: one that is fetched again may have its blocks elsewhere
        if note.storage == "blosc":
            [block] = inner_chunks(chunk, index, n, [0])
            zeros = repeated(b"\0", chunk[3], int.from_bytes(chunk[8:12], "little"))
            return (block or zeros)[slice(*part)]
        return _bytes(chunk, index, n, *slice(*part).indices(index.size)[:2])

    def know(self, note: Note, found: Any) -> None:
        """Note what there is in the place of an array."""
        is_it = isinstance(found, Dataset) and found._version == note.version
        self._opened[note] = found.pinned() if is_it and not found.expression else None

    def _dataset(self, note: Note) -> Dataset | None:
        """Open the dataset of an array in its version; None if that is not the present one."""
        if note not in self._opened:
            self.know(note, self._client.get(note.path))
        return self._opened[note]


def _bytes(chunk: bytes, index: ShardIndex, n: int, start: int, stop: int) -> bytes:
    """Return bytes of a shard, for which only the blocks in them are converted."""
    if (start, stop) == (0, index.size):
        return shard(chunk, index, n)
    touched = index.touched(start, stop)
    pieces = []
    for block, inner in zip(touched, inner_chunks(chunk, index, n, touched), strict=True):
        at = int(index.table[block, 0])
        pieces.append((inner or b"")[max(start - at, 0) : stop - at])
    if stop > index.data_bytes:
        pieces.append(index.encoded[max(start - index.data_bytes, 0) : stop - index.data_bytes])
    return b"".join(pieces)


def _values(dataset: Dataset, key: Key) -> bytes:
    """Return the decoded values of a chunk in C order; what lies outside of the array is zero."""
    chunks = tuple(max(n, 1) for n in dataset.chunks)
    part = tuple(slice(n * chunk, (n + 1) * chunk) for n, chunk in zip(key, chunks, strict=True))
    values = np.asarray(dataset[part], dataset.dtype)
    if values.shape == chunks:
        return values.tobytes()
    padded = np.zeros(chunks, dataset.dtype)
    padded[tuple(map(slice, values.shape))] = values
    return padded.tobytes()
