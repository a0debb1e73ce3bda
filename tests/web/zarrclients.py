"""Programs that read Zarr over HTTP"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import obstore.store
import zarr
import zarr.storage
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from tests.conftest import Stack
from tests.web.zarrprograms import by_gdal, by_zarrita


def by_fsspec(stack: Stack, place: str) -> Any:
    return zarr.open_array(f"{stack.url}/zarr/{place}", mode="r", zarr_format=3)[...]


def by_obstore(stack: Stack, place: str) -> Any:
    return zarr.open_array(obstored(stack, place), mode="r", zarr_format=3)[...]


def obstored(stack: Stack, place: str, face: str = "zarr") -> zarr.storage.ObjectStore[Any]:
    options: Any = {"allow_http": True}
    retries: Any = {"max_retries": 0}
    store = obstore.store.HTTPStore.from_url(
        f"{stack.url}/{face}/{place}", client_options=options, retry_config=retries
    )
    return zarr.storage.ObjectStore(store, read_only=True)


def by_zarrs(stack: Stack, place: str) -> Any:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return by_obstore(stack, place)


def by_tensorstore(stack: Stack, place: str) -> Any:
    return opened_by_tensorstore(stack, place).read().result()


def opened_by_tensorstore(stack: Stack, place: str) -> Any:
    import tensorstore

    spec = {"driver": "zarr3", "kvstore": f"{stack.url}/zarr/{place}/"}
    context = tensorstore.Context({"http_request_retries": {"max_retries": 1}})
    return tensorstore.open(spec, context=context).result()


def by_version2(stack: Stack, place: str) -> Any:
    return zarr.open_array(obstored(stack, place, "zarr2"), mode="r", zarr_format=2)[...]


READERS = {
    "fsspec": by_fsspec, "obstore": by_obstore, "zarrs": by_zarrs, "tensorstore": by_tensorstore,
    "version 2": by_version2, "zarrita.js": by_zarrita, "GDAL": by_gdal,
}  # fmt: skip
SLOW = {"zarrs", "tensorstore", "zarrita.js", "GDAL"}
"""Those that are installed for slow tests only."""
FOREIGN = "SUVM"
"""Kinds of dtypes that only zarr-python reads."""


def can_read(reader: str, values: Any) -> bool:
    """Return whether a program has arrays of this dtype, and of so many dimensions."""
    dtype = values.dtype
    if reader == "GDAL":
        return values.ndim == 2 and dtype.kind in "iuf" and dtype.itemsize > 2
    if reader == "zarrita.js":
        return dtype.kind in "iufb" and dtype != np.float16
    if reader == "tensorstore":
        return dtype.kind not in FOREIGN and dtype.fields is None
    return reader != "zarrs" or dtype.kind not in FOREIGN


class Counted(WrapperStore[Any]):
    """A store that notes what is requested of another, and the bytes that arrive."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.requests: list[tuple[str, int]] = []

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        found: Buffer | None = await self._store.get(key, prototype, byte_range)
        self.requests.append((key, len(found) if found else 0))
        return found


def document(stack: Stack, target: str) -> Any:
    return json.loads(stack.get(target))
