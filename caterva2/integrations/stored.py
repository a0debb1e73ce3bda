"""Stored files as a file system shows them: details of a path, and listings."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from caterva2.client.client import Client
from caterva2.client.errors import Unreachable
from caterva2.rest import paths
from caterva2.rest.paths import relative

Details = dict[str, Any]
_TOTAL = re.compile(r"bytes [0-9]+-[0-9]+/([0-9]{1,19})", re.ASCII)


def seconds(text: str) -> float:
    """Return a time of the REST interface in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def details(client: Client, path: str, *, fill: bool = False) -> Details:
    """Describe a file or directory; ``size`` is exact, and ``tag`` is the entity tag of its bytes.

    The bytes of an array are known when all of it was fetched by the subscriber, so this fetches
    it if it has to; or into the client's cache with ``fill``, unless it is large.
    """
    if not path:
        return _directory("", 0, 0.0)
    meta = client.get_info(path)
    kind, changed = meta["kind"], seconds(meta["mtime"])
    if kind in ("group", "table"):
        return _directory(path, meta["size"], changed)
    made = {"name": path, "type": "file", "kind": kind, "mtime": changed, "etag": meta["etag"]}
    if "shape" in meta:
        made |= {"shape": tuple(meta["shape"]), "dtype": meta["dtype"]}
    if kind == "file":
        return made | {"size": meta["nbytes"], "tag": f'"{meta["etag"]}"'}
    if client.transport.kept.active:
        from caterva2.integrations import kept_ranges  # loads numpy and Blosc2

        kept = kept_ranges.frame(client, path, meta, fill=fill)
        if kept is not None:
            return made | {"size": kept.size, "tag": kept.tag}
    size, tag = _of_frame(client, path)
    return made | {"size": size, "tag": tag}


def listing(client: Client, path: str) -> list[Details]:
    """Describe the members of a directory, or a file itself.

    Sizes of arrays are those at the publisher: a download has the chunks in another order, and
    so may have some bytes more or less.
    """
    if not path:
        return [_directory(name, 0, 0.0) for name in client.get_roots()]
    try:
        level = client.get_entries(path)
    except Unreachable:
        if not client.transport.kept.active:
            raise
        return _kept_file(client, path)
    if level["own"] is not None:  # what it holds, such as datasets of HDF5, are no files
        return [_entry(path, level["own"])]
    return [_entry(f"{path}/{name}", one) for name, one in level["entries"].items()]


def _kept_file(client: Client, path: str) -> list[Details]:
    """Describe a file of the client's cache, whose entry was never requested."""
    found = details(client, path)
    if found["type"] == "directory":
        raise Unreachable(f"what is in {path} was never listed, and the subscriber is away")
    return [{name: found[name] for name in ("name", "type", "kind", "size", "mtime", "etag")}]


def whole(client: Client, path: str) -> bytes | bytearray:
    """Read all bytes of a file; through the client's cache, if it has one."""
    if client.transport.kept.active:
        from caterva2.integrations import kept_ranges  # loads numpy and Blosc2

        kept = kept_ranges.content(client, path)
        if kept is not None:
            return kept
    return client.transport.request("GET", relative(paths.DOWNLOAD, path)).body


def _entry(path: str, entry: Details) -> Details:
    changed = seconds(entry["mtime"])
    if entry["kind"] == "group":
        return _directory(path, entry["size"], changed)
    return {
        "name": path, "type": "file", "kind": entry["kind"], "size": entry["size"],
        "mtime": changed, "etag": entry["etag"],
    }  # fmt: skip


def _directory(path: str, size: int, changed: float) -> Details:
    return {"name": path, "type": "directory", "size": size, "mtime": changed}


def _of_frame(client: Client, path: str) -> tuple[int, str]:
    """Return size and entity tag of a stored frame, which the subscriber completes if it has to."""
    first = {"Range": "bytes=0-0"}
    with client.transport.stream("GET", relative(paths.DOWNLOAD, path), None, first) as response:
        response.read(1)
        match = _TOTAL.fullmatch(response.headers.get("Content-Range", ""))
        tag = response.headers.get("ETag", "")
        if match:
            return int(match[1]), tag
        if response.length is not None:  # ranges were ignored
            return response.length + 1, tag
    raise Unreachable(f"the size of {path} is not known")
