"""Datasets in the words of the REST contract."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic_core import to_json

from caterva2 import limits
from caterva2.arrays import dtypes
from caterva2.errors import CatervaError, NotFound
from caterva2.frames import metadata
from caterva2.model import JSON, DatasetInfo, Entry, Expression
from caterva2.names import DatasetPath, below, in_order
from caterva2.web.answers import error_body
from caterva2.web.reader import Dataset, Member

LISTED_AT_ONCE = 20_000
"""Paths that are written as JSON in one step."""


def timestamp(seconds: float) -> str:
    """A time in seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def cparams(info: DatasetInfo) -> JSON:
    """Compression parameters; every key but ``filters, meta`` is one of `blosc2.CParams`."""
    packing = info.cparams
    used = [
        [code, meta]
        for code, meta in zip(packing.filters, packing.filters_meta, strict=True)
        if code
    ]
    return {
        "codec": packing.codec, "codec_meta": packing.codec_meta, "clevel": packing.clevel,
        "filters": list(packing.filters), "filters_meta": list(packing.filters_meta),
        "typesize": info.typesize if info.typesize <= 255 else 1,
        "blocksize": info.blocksize, "nthreads": 1, "splitmode": packing.splitmode,
        "tuner": 0, "use_dict": False, "filters, meta": used,
    }  # fmt: skip


def schunk(info: DatasetInfo) -> JSON:
    """The super-chunk of a dataset: the publisher's figures, and no path of this server."""
    stored = (
        max(info.nchunks * info.chunksize, info.nbytes) if info.kind == "array" else info.nbytes
    )
    return {
        "cbytes": info.cbytes, "chunkshape": info.chunksize // info.typesize,
        "chunksize": info.chunksize, "contiguous": True, "cparams": cparams(info),
        "cratio": stored / info.cbytes if info.cbytes else 0.0, "nbytes": stored,
        "urlpath": None, "vlmeta": metadata.jsonable(metadata.decode_all(info.vlmeta)),
        "nchunks": info.nchunks, "blocksize": info.blocksize, "mtime": None,
    }  # fmt: skip


def dataset(opened: Dataset) -> JSON:
    """What ``info`` answers for a dataset, with what we add in fields of our own."""
    cached = {"nchunks": opened.cached_chunks, "cbytes": opened.cached_bytes}
    return version(opened.info, opened.expression) | {"cached": cached}


def version(info: DatasetInfo, expression: Expression | None = None) -> JSON:
    """The same without what is cached of it."""
    ours: JSON = {
        "kind": info.kind, "etag": info.etag, "accept_ranges": "none" if expression else "bytes"
    }  # fmt: skip
    if expression:
        ours |= {"expression": expression.text, "operands": expression.operands}
    mtime = timestamp(info.mtime)
    if info.kind != "array":
        return schunk(info) | {"mtime": mtime} | ours
    return {
        "shape": list(info.shape), "chunks": list(info.chunks), "blocks": list(info.blocks),
        "dtype": dtypes.display(dtypes.parse(info.dtype)), "schunk": schunk(info),
        "mtime": mtime,
    } | ours  # fmt: skip


def listing(name: str, directory: str, paths: list[DatasetPath]) -> bytes:
    """What ``list`` answers for a directory, or for a root with the empty one, as JSON.

    There may be millions, so this is work for a thread, in steps that let others have a turn.

    Raises
    ------
    NotFound
        If none of the root's paths is the directory or lies below it.
    """
    found = in_order(below(paths, directory))
    if directory and not found:
        raise NotFound(f"{name} does not exist")
    starts = range(0, len(found), LISTED_AT_ONCE)
    parts = (to_json(found[start : start + LISTED_AT_ONCE])[1:-1] for start in starts)
    return b"[" + b",".join(parts) + b"]"


def members(directory: str, found: Mapping[DatasetPath, Member]) -> bytes:
    """Datasets by their paths relative to a directory, each as ``info`` describes it, as JSON.

    As with `listing` this is work for a thread.
    One that can't be described has the key ``error`` instead. ``after`` is what to ask for the
    next ones with, if there may be more.
    """
    told = {below([path], directory)[0]: _member(one) for path, one in found.items()}
    last = next(reversed(told)) if len(told) == limits.MEMBERS else None
    return to_json({"members": told, "after": last})


def _member(one: Member) -> JSON:
    if isinstance(one, CatervaError):
        return {"error": error_body(one)}
    return version(one) if isinstance(one, DatasetInfo) else version(one.info, one.expression)


def group(name: str, directory: str, entries: list[Entry]) -> JSON:
    """What ``info`` answers for a directory, or for a root with the empty one.

    Raises
    ------
    NotFound
        If none of the root's entries lies below the directory.
    """
    prefix = f"{directory}/" if directory else ""
    inside = [entry for entry in entries if entry.path.startswith(prefix)]
    if directory and not inside:
        raise NotFound(f"{name} does not exist")
    newest = max((entry.mtime for entry in inside), default=0.0)
    return {
        "kind": "group", "name": name, "nfiles": len(inside),
        "size": sum(entry.size for entry in inside), "mtime": timestamp(newest),
    }  # fmt: skip
