"""Ranges of files out of the client's cache: bytes of plain files, and of frames as a whole."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from caterva2.client import kept
from caterva2.client.client import Client
from caterva2.client.kept import Whole
from caterva2.client.objects.dataset import Dataset
from caterva2.client.objects.file import File
from caterva2.client.read import values
from caterva2.client.read.region import Region
from caterva2.client.transport import Transport


def read(
    transport: Transport, path: str, wanted: Sequence[tuple[int, int]], etag: str
) -> list[bytes] | None:
    """Read ranges of a file; None if the subscriber is to be asked. See `ranges.read`.

    The bytes of a frame may be in another order at the subscriber: what has an entity tag of there
    is read there.
    """
    find = _known if etag else _opened
    found = find(transport, path, values.version_of(etag))
    if found is None:
        return None
    if found.kind == "file":
        return [_of_file(transport, found, *one) for one in wanted]
    whole = kept.whole(found, fill=False)
    if whole is None or (etag and whole.tag != etag):
        return None
    return [whole.read(start, stop) for start, stop in wanted]


def frame(client: Client, path: str, meta: dict[str, Any], *, fill: bool) -> Whole | None:
    """Return an array or frame as a file, of which what is missing is fetched with ``fill``."""
    return kept.whole(_of(client, path, meta), fill=fill)


def content(client: Client, path: str) -> bytes | None:
    """Read all bytes of a file; None if the subscriber is to be asked."""
    found = _opened(client.transport, path, "")
    if found is None:
        return None
    whole = kept.whole(found)
    if whole is not None:
        return whole.read(0, whole.size)
    return bytes(found[:]) if found.kind == "file" else None


def _of(client: Client, path: str, meta: dict[str, Any]) -> File:
    return (Dataset if "shape" in meta else File)(client, path, meta)


def _of_file(transport: Transport, found: File, start: int, stop: int) -> bytes:
    source = found._source
    size = source.shape[0]
    chosen = range(min(start, size), max(min(stop, size), min(start, size)))
    return values.values(transport, source, Region(source.shape, (chosen,))).tobytes()


def _opened(transport: Transport, path: str, version: str) -> File | None:
    """Open a version of a file; None of anything else."""
    client = Client.over(transport)
    meta = client.get_info(path)
    etag = str(meta.get("etag", ""))
    if meta.get("kind") not in ("file", "frame", "array") or not etag or version not in ("", etag):
        return None
    return _of(client, path, meta)


_known = functools.lru_cache(maxsize=256)(_opened)  # a version has one layout
