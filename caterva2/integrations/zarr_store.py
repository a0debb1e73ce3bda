"""ZarrStore: what a subscriber serves as Zarr, over the connections and login of a client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import zarr
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from caterva2.client.client import Client
from caterva2.client.errors import HttpError, Missing, Unreachable
from caterva2.client.objects.dataset import Dataset
from caterva2.errors import StaleVersion
from caterva2.formats import zarr_names as names
from caterva2.integrations import kept_shards
from caterva2.integrations.kept_shards import KeptShards, Note, Part
from caterva2.rest import paths
from caterva2.rest.paths import relative

_DOCUMENT = "zarr.json"
_OTHERS = frozenset({".zarray", ".zgroup", ".zattrs", ".zmetadata"})
"""Metadata of version 2, for which zarr-python looks too; a store is of version 3."""
_READ_ONLY = "what a subscriber serves as Zarr is read only"


def of(thing: Any) -> Any:
    """Open a dataset in its known version, or a directory or root as it is now."""
    if isinstance(thing, Dataset):
        document = kept_shards.document_of(thing)
        made = opened(thing._client, str(thing.path), thing._version, document)
        made.store.know(thing)
        return made
    return opened(thing._client, thing._place)


def opened(
    client: Any, path: str, version: str = "", document: dict[str, Any] | None = None
) -> Any:
    """Open a version of an array, or a generation of a group or root, as `zarr` does.

    Parameters
    ----------
    client : Client
    path : str
        With the root.
    version : str
        The etag that an array must have; empty for the version of now.
    document : dict, optional
        Its metadata, if they are known.

    Raises
    ------
    StaleVersion
        If the array has another version.
    """
    if document is None:
        document = client.transport.json(dict, "GET", relative(paths.ZARR, f"{path}/{_DOCUMENT}"))
    assert document is not None
    note = document.get("attributes", {}).get("caterva2", {})
    if version and note.get("etag") != version:
        raise StaleVersion(f"{path} has changed: refresh() it, or open it again")
    pinned = note.get("pinned")
    if not isinstance(pinned, str):
        raise Unreachable(f"{path} is served as Zarr without a version")
    store = ZarrStore(client, pinned, document)
    if document.get("node_type") == "array":
        return zarr.open_array(store, mode="r", zarr_format=3)
    return zarr.open_group(store, mode="r", zarr_format=3)


class ZarrStore(Store):  # type: ignore[misc, unused-ignore]
    """A store of zarr-python below a path of a subscriber; it can't be changed.

    Parameters
    ----------
    client : Client
    path : str
        With the root, ``ROOT@VERSION/PATH`` for one version.
    document : mapping, optional
        The metadata of that place, which are not requested then.
    """

    supports_writes = False
    supports_deletes = False
    supports_partial_writes = False
    supports_listing = False

    def __init__(
        self, client: Client, path: str, document: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(read_only=True)
        self._client, self.path = client, path
        self._document = None if document is None else json.dumps(document).encode()
        self._notes: dict[str, Note | None] = {}
        self._kept = KeptShards(client) if client.transport.kept.active else None
        if document is not None:
            self._note(path, document)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is of many arrays: it would go with each task of a computation."""
        notes = self._notes if len(self._notes) == 1 else {}
        return {**self.__dict__, "_document": None, "_notes": notes, "_kept": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._kept = KeptShards(self._client) if self._client.transport.kept.active else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ZarrStore):
            return NotImplemented
        return (self._client.urlbase, self.path) == (other._client.urlbase, other.path)

    def __hash__(self) -> int:
        return hash((self._client.urlbase, self.path))

    def __repr__(self) -> str:
        return f"<ZarrStore: {self._client.urlbase} {self.path}>"

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the value of a key; None if it is metadata that there is not.

        Raises
        ------
        HttpError
            If a chunk can't be served, such as that of a version that is gone.
        """
        if key == _DOCUMENT and self._document is not None:
            return prototype.buffer.from_bytes(self._document)
        if key.rpartition("/")[2] in _OTHERS:
            return None
        found = await asyncio.to_thread(self._read, key, byte_range)
        return None if found is None else prototype.buffer.from_bytes(found)

    def _read(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        place = f"{self.path}/{key}"
        chunk = names.split_key3(place)
        if self._kept is not None and chunk is not None:
            note = self._noted(chunk[0])
            kept = None if note is None else self._kept.get(note, chunk[1], _part(byte_range))
            if kept is not None:
                return kept
        headers = {} if byte_range is None else {"Range": _range(byte_range)}
        target = relative(paths.ZARR, place)
        try:
            return bytes(self._client.transport.request("GET", target, None, headers).body)
        except Missing:
            return None

    def _note(self, path: str, document: Mapping[str, Any]) -> None:
        """Note what is known of an array, or of all arrays of a group."""
        if document.get("node_type") == "array":
            self._notes[path] = Note.of(document)
        inside = (document.get("consolidated_metadata") or {}).get("metadata", {})
        for name, one in inside.items():
            if one.get("node_type") == "array":
                self._notes[f"{path}/{name}"] = Note.of(one)

    def know(self, dataset: Dataset) -> None:
        """Read a version of a dataset by a handle that there is already."""
        note = self._notes.get(self.path)
        if self._kept is not None and note is not None:
            self._kept.know(note, dataset)

    def _noted(self, path: str) -> Note | None:
        if path not in self._notes:
            target = relative(paths.ZARR, f"{path}/{_DOCUMENT}")
            self._note(path, self._client.transport.json(dict, "GET", target))
        return self._notes.get(path)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of values."""
        wanted = [self.get(key, prototype, one) for key, one in key_ranges]
        return list(await asyncio.gather(*wanted))

    async def exists(self, key: str) -> bool:
        """Whether there is a value."""
        target = relative(paths.ZARR, f"{self.path}/{key}")
        try:
            await asyncio.to_thread(self._client.transport.request, "HEAD", target)
        except HttpError as error:
            if error.status_code in (404, 405):
                return False
            raise
        return True

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse."""
        raise NotImplementedError(_READ_ONLY)

    async def delete(self, key: str) -> None:
        """Refuse."""
        raise NotImplementedError(_READ_ONLY)

    def list(self) -> AsyncIterator[str]:
        """Refuse: groups have the metadata of all that is below them."""
        raise NotImplementedError("keys of chunks are not listed: a group knows its members")

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse, as `list` does."""
        return self.list()

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refuse, as `list` does."""
        return self.list()


def _part(wanted: ByteRequest | None) -> Part:
    """Return a part of a value as the bounds of a Python slice."""
    if isinstance(wanted, RangeByteRequest):
        return wanted.start, wanted.end
    if isinstance(wanted, OffsetByteRequest):
        return wanted.offset, None
    return (-wanted.suffix or None, None) if isinstance(wanted, SuffixByteRequest) else (None, None)


def _range(wanted: ByteRequest) -> str:
    """Return the header for a part of a value."""
    if isinstance(wanted, RangeByteRequest):
        return f"bytes={wanted.start}-{wanted.end - 1}"
    if isinstance(wanted, OffsetByteRequest):
        return f"bytes={wanted.offset}-"
    assert isinstance(wanted, SuffixByteRequest)
    return f"bytes=-{wanted.suffix}"
