"""ZarrStore: what a subscriber serves as Zarr, over the connections and login of a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
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
from caterva2.rest import paths
from caterva2.rest.paths import relative

_DOCUMENT = "zarr.json"
_READ_ONLY = "what a subscriber serves as Zarr is read only"


def of(thing: Any) -> Any:
    """Open a dataset in its known version, or a directory or root as it is now."""
    if isinstance(thing, Dataset):
        return opened(thing._client, str(thing.path), thing._version)
    return opened(thing._client, thing._place)


def opened(client: Any, path: str, version: str = "") -> Any:
    """Open a version of an array, or a generation of a group or root, as `zarr` does.

    Parameters
    ----------
    client : Client
    path : str
        With the root.
    version : str
        The etag that an array must have; empty for the version of now.

    Raises
    ------
    StaleVersion
        If the array has another version.
    """
    document = client.transport.json(dict, "GET", relative(paths.ZARR, f"{path}/{_DOCUMENT}"))
    note = document.get("attributes", {}).get("caterva2", {})
    if version and note.get("etag") != version:
        raise StaleVersion(f"{path} has changed: refresh() it, or open it again")
    pinned = note.get("pinned")
    if not isinstance(pinned, str):
        raise Unreachable(f"{path} is served as Zarr without a version")
    store = ZarrStore(client, pinned)
    if document.get("node_type") == "array":
        return zarr.open_array(store, mode="r")
    return zarr.open_group(store, mode="r")


class ZarrStore(Store):  # type: ignore[misc, unused-ignore]
    """A store of zarr-python below a path of a subscriber; it can't be changed.

    Parameters
    ----------
    client : Client
    path : str
        With the root, ``ROOT@VERSION/PATH`` for one version.
    """

    supports_writes = False
    supports_deletes = False
    supports_partial_writes = False
    supports_listing = False

    def __init__(self, client: Client, path: str) -> None:
        super().__init__(read_only=True)
        self._client, self.path = client, path

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
        headers = {} if byte_range is None else {"Range": _range(byte_range)}
        target = relative(paths.ZARR, f"{self.path}/{key}")
        try:
            answer = await asyncio.to_thread(
                self._client.transport.request, "GET", target, None, headers
            )
        except Missing:
            return None
        return prototype.buffer.from_bytes(bytes(answer.body))

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


def _range(wanted: ByteRequest) -> str:
    """Return the header for a part of a value."""
    if isinstance(wanted, RangeByteRequest):
        return f"bytes={wanted.start}-{wanted.end - 1}"
    if isinstance(wanted, OffsetByteRequest):
        return f"bytes={wanted.offset}-"
    assert isinstance(wanted, SuffixByteRequest)
    return f"bytes=-{wanted.suffix}"
