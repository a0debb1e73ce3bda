"""Objects in a bucket, and the source that serves them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import samples
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import ObjectStore

from caterva2.limits import DEFAULTS
from caterva2.names import DatasetPath
from caterva2.sources.base import Source
from caterva2.stores.opening import open_remote
from tests.s3server import Bucket

QUICK = dataclasses.replace(DEFAULTS.publisher, poll=0.05, object_timeout=10.0, object_retries=1)
ARRAY = samples.array_frame(np.arange(100), {"a": 1}, chunks=(10,), blocks=(5,))
OTHER = samples.array_frame(np.arange(100) + 1, {"a": 1}, chunks=(10,), blocks=(5,))
LARGE = np.random.default_rng(0).random(600_000)
VALUES = np.arange(60 * 70.0).reshape(60, 70)
CONTENTS = {
    "README.md": b"# Hi\n", "a.b2nd": ARRAY, "d/e/b.b2nd": OTHER,
    "d/h.b2frame": samples.byte_frame(b"Hello world!" * 100, 100),
    "large.b2nd": samples.array_frame(LARGE, chunks=(150_000,), blocks=(5_000,)),
}  # fmt: skip


def opened(url: str, **given: str) -> Source:
    source = open_remote(url, QUICK, given)
    source.scan()
    return source


def etag_of(source: Source, path: str) -> str:
    return source.info(DatasetPath(path)).etag


# --- Zarr ---


def put_zarr(bucket: Bucket, place: str, name: str, values: Any = VALUES) -> None:
    store = ObjectStore(bucket.store.__class__(
        bucket.name, prefix=f"some/prefix/{place}".rstrip("/"), endpoint=bucket.server,
        access_key_id="k", secret_access_key="s", region="us-east-1",
        client_options={"allow_http": True},
    ))  # fmt: skip
    group = zarr.open_group(store, mode="a")
    blosc = BloscCodec(cname="lz4")
    group.create_array(name, data=values, chunks=(30, 35), compressors=blosc, overwrite=True)
