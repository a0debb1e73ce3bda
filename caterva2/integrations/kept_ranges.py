"""Ranges of plain files through the client's cache: a file is an array of bytes of one version."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from caterva2.client.read import values
from caterva2.client.read.region import Region
from caterva2.client.read.values import Source
from caterva2.client.transport import Transport
from caterva2.rest import paths
from caterva2.rest.paths import relative


def read(
    transport: Transport, path: str, wanted: Sequence[tuple[int, int]], etag: str
) -> list[bytes] | None:
    """Read ranges of a plain file; None of anything else. See `ranges.read`."""
    ask = _known_source if etag else _source
    source = ask(transport, path, etag)
    if source is None:
        return None
    size = source.shape[0]
    found = []
    for start, stop in wanted:
        chosen = range(min(start, size), max(min(stop, size), min(start, size)))
        found.append(values.values(transport, source, Region(source.shape, (chosen,))).tobytes())
    return found


def _source(transport: Transport, path: str, etag: str) -> Source | None:
    """Return a version of a plain file as an array of bytes."""
    meta = transport.json(dict, "GET", relative(paths.INFO, path))
    version = str(meta.get("etag", ""))
    if meta.get("kind") != "file" or not version or (etag and values.version_of(etag) != version):
        return None
    size, step = int(meta["nbytes"]), max(int(meta["chunksize"]), 1)
    return Source(path, version, (size,), (step,), np.dtype(np.uint8), is_bytes=True)


_known_source = functools.lru_cache(maxsize=256)(_source)  # a version has one layout
