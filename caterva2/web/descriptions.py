"""Descriptions of datasets and directories, as the REST contract has them."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Literal, cast

from pydantic_core import to_json

from caterva2 import model
from caterva2.arrays import dtypes
from caterva2.errors import NotFound, SourceCorrupt
from caterva2.frames import attributes, metadata
from caterva2.model import DatasetInfo, Entry, Expression, Way
from caterva2.model.missing import missing
from caterva2.names import DatasetPath, below, in_order, outermost
from caterva2.rest.attributes import Attribute
from caterva2.rest.catalogue import Group, Level, Listed
from caterva2.rest.catalogue import Way as WayShown
from caterva2.rest.datasets import (
    Array,
    Bytes,
    Computed,
    CParams,
    Description,
    Grid,
    SChunk,
    TableParts,
    Version,
)
from caterva2.rest.values import dtypes as json_dtypes
from caterva2.web.reader import Dataset

_FIRST, _LAST = -62_135_596_800, 253_402_300_799
"""The first and last second of the years 1 to 9999, which are all that ISO 8601 can write."""


def timestamp(seconds: float) -> str:
    """Format a time in seconds since 1970 as ISO 8601 in UTC; one beyond the years as their end."""
    seconds = min(max(seconds, _FIRST), _LAST)
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def way(found: Way) -> WayShown:
    """Describe how the data of a root comes here."""
    return {
        "origin": found.origin, "hops": len(found.path), "path": list(found.path),
        "via": found.via, "as_of": timestamp_or_none(found.as_of),
    }  # fmt: skip


def timestamp_or_none(seconds: float | None) -> str | None:
    """Format a time that may not be known."""
    return None if seconds is None else timestamp(seconds)


def dataset(opened: Dataset) -> Description:
    """Describe a dataset, with what is cached of it."""
    made = version(opened.info, opened.expression)
    made["cached"] = {"nchunks": opened.cached_chunks, "cbytes": opened.cached_bytes}
    return made


def version(info: DatasetInfo, expression: Expression | None = None) -> Description:
    """Describe a version of a dataset, without what is cached of it."""
    if info.kind != "array":
        return _bytes(info)
    return _computed(info, expression) if expression else _array(info)


def _array(info: DatasetInfo) -> Array:
    return {**_grid(info), **_version(info), "accept_ranges": "bytes"}


def _computed(info: DatasetInfo, expression: Expression) -> Computed:
    return {
        **_grid(info), **_version(info), "accept_ranges": "none",
        "expression": expression.text, "operands": expression.operands,
    }  # fmt: skip


def _version(info: DatasetInfo) -> Version:
    return {
        "kind": kind_of(info), "etag": info.etag, "attrs": attributes_of(info),
        "metalayers": cast("dict[str, Attribute]", attributes.metalayers(info)),
    }  # fmt: skip


def kind_of(info: DatasetInfo) -> Literal["array", "frame", "file"]:
    """Return the kind of a dataset; raise `SourceCorrupt` for a group."""
    if info.kind == "group":
        raise SourceCorrupt("it is a dataset, and is described as a group", subject=info.path)
    return info.kind


def attributes_of(info: DatasetInfo | None) -> dict[str, Attribute]:
    """Return the attributes of a description; none where nothing is described."""
    return cast("dict[str, Attribute]", attributes.forms(info)) if info else {}


def _grid(info: DatasetInfo) -> Grid:
    return {
        "shape": list(info.shape), "chunks": list(info.chunks), "blocks": list(info.blocks),
        "dtype": dtypes.displayed(info.dtype), "dtype_json": json_dtypes.of_text(info.dtype),
        "dims": list(attributes.dims(info)),
        "schunk": _schunk(info), "mtime": timestamp(info.mtime),
    }  # fmt: skip


def _bytes(info: DatasetInfo) -> Bytes:
    made = {
        **_schunk(info), "mtime": timestamp(info.mtime),
        **_version(info), "accept_ranges": "bytes", **table_of(info),
    }  # fmt: skip
    return cast("Bytes", made)  # parts that need not be there can't be unpacked into it


def table_of(info: DatasetInfo | None) -> TableParts:
    """Describe the table that a group is; nothing if it is none."""
    if info is None or not info.columns:
        return {}
    return {"columns": list(info.columns), "nrows": info.nrows}


def _schunk(info: DatasetInfo) -> SChunk:
    """Describe a super-chunk by the publisher's figures; no path of this server is in it."""
    nchunks, stored = info.nchunks, info.nbytes
    if info.kind == "array":
        stored = max(nchunks * info.chunksize, stored)
    return {
        "cbytes": info.cbytes, "chunkshape": info.chunksize // info.typesize,
        "chunksize": info.chunksize, "contiguous": True,
        "cparams": _cparams(info.cparams, info.typesize, info.blocksize),
        "cratio": stored / info.cbytes if info.cbytes else 0.0, "nbytes": stored,
        "urlpath": None, "vlmeta": metadata.jsonable(metadata.decode_all(info.vlmeta)),
        "nchunks": nchunks, "blocksize": info.blocksize, "mtime": None,
    }  # fmt: skip


@functools.lru_cache(256)  # most datasets of a root have the same
def _cparams(packing: model.CParams, typesize: int, blocksize: int) -> CParams:
    used = [
        [code, meta]
        for code, meta in zip(packing.filters, packing.filters_meta, strict=True)
        if code
    ]
    return {
        "codec": packing.codec, "codec_meta": packing.codec_meta, "clevel": packing.clevel,
        "filters": list(packing.filters), "filters_meta": list(packing.filters_meta),
        "typesize": typesize if typesize <= 255 else 1,
        "blocksize": blocksize, "nthreads": 1, "splitmode": packing.splitmode,
        "tuner": 0, "use_dict": False, "filters, meta": used,
    }  # fmt: skip


def listing(name: str, directory: str, paths: list[DatasetPath], step: int) -> bytes:
    """List the paths below a directory of a root, or below the root, as JSON.

    There may be millions: call this in a thread. It works in steps of ``step`` paths, between
    which other threads run.

    Raises
    ------
    NotFound
        If no path is the directory or lies below it.
    """
    found = in_order(below(paths, directory))
    if directory and not found:
        raise NotFound(f"{name} does not exist")
    starts = range(0, len(found), step)
    parts = (to_json(found[start : start + step])[1:-1] for start in starts)
    return b"[" + b",".join(parts) + b"]"


def level(name: str, directory: str, entries: list[Entry]) -> bytes:
    """List the members of a directory of a root, or of the root, as JSON. Call this in a thread.

    Raises
    ------
    NotFound
        If no entry is the directory or lies below it.
    """
    prefix = f"{directory}/" if directory else ""
    inside = {entry.path: entry for entry in entries if entry.path.startswith(prefix)}
    own = next((_listed(entry) for entry in entries if entry.path == directory), None)
    if directory and not inside and own is None:
        raise NotFound(f"{name} does not exist")
    found = dict[str, Listed]()
    newest = dict[str, float]()
    for path in in_order(outermost(inside)):
        entry, (top, _, rest) = inside[path], path[len(prefix) :].partition("/")
        if not rest:
            found[top] = _listed(entry)
            continue
        group = found.setdefault(top, {"kind": "group", "size": 0, "mtime": ""})
        group["size"] += entry.size
        newest[top] = max(newest.get(top, 0.0), entry.mtime)
    for top, seconds in newest.items():
        found[top]["mtime"] = timestamp(seconds)
    made: Level = {"own": own, "entries": found}
    return to_json(made)


def _listed(entry: Entry) -> Listed:
    return {
        "kind": entry.kind, "size": entry.size, "mtime": timestamp(entry.mtime), "etag": entry.etag
    }  # fmt: skip


def group(
    name: str,
    directory: str,
    entries: list[Entry],
    attrs: dict[str, Attribute] | None,
    table: TableParts,
) -> Group:
    """Describe a directory of a root, or the root where ``directory`` is empty.

    Parameters
    ----------
    name : str
        With the root.
    directory : str
    entries : list of Entry
        All of the root.
    attrs : dict or None
        Those of the directory; None if they are not known now.
    table : TableParts
        Empty if it is none.

    Raises
    ------
    NotFound
        If no entry lies below the directory.
    """
    prefix = f"{directory}/" if directory else ""
    inside = {entry.path: entry for entry in entries if entry.path.startswith(prefix)}
    if directory and not inside and not attrs:
        known = {entry.path: entry for entry in entries}
        raise missing(name.removesuffix(f"/{directory}"), directory, known)
    newest = max((entry.mtime for entry in inside.values()), default=0.0)
    return {
        "kind": "table" if table else "group", "name": name, "nfiles": len(inside),
        "size": sum(inside[path].size for path in outermost(inside)), "mtime": timestamp(newest),
        "attrs": attrs, **table,
    }  # fmt: skip
