"""Trees, tables and embedded stores as python-blosc2 writes them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import blosc2
import numpy as np

from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.names import DatasetPath
from caterva2.sources.base import Source
from caterva2.sources.directory.source import DirectorySource
from caterva2.stores.containers import store_formats
from caterva2.stores.nested import NestedStores

VALUES: dict[str, Any] = {
    "g/x": np.arange(60_000, dtype="<i4").reshape(200, 300),
    "g/deep/y": np.linspace(0, 1, 1000),
    "zeros": np.zeros((50, 50)),
    "text": np.array(["a", "bcd"]),
}


LARGE = {"g/x": np.random.default_rng(1).integers(0, 2**62, 100_000)}
"""A leaf that does not compress, so that its chunk is not read with its head."""


@dataclasses.dataclass
class Row:
    """A row of the tables."""

    number: int = blosc2.field(blosc2.int64())
    score: float = blosc2.field(blosc2.float64(), default=0.0)
    name: str = blosc2.field(blosc2.string(max_length=8), default="")


def tree(path: Path, threshold: int | None = 0, values: dict[str, Any] = VALUES) -> Path:
    """Write a tree: leaves of ``threshold`` bytes and more are members, others are embedded."""
    with blosc2.TreeStore(str(path), mode="w", threshold=threshold) as store:
        for name, array in values.items():
            store[f"/{name}"] = blosc2.asarray(array)
        store["/bytes"] = blosc2.SChunk(data=b"hello" * 1000)
        store.vlmeta["title"] = "A tree"
        store["/g"].vlmeta["range"] = [1, 2.5]
    return path


def table(path: Path, rows: int = 50, deleted: tuple[int, ...] = ()) -> Path:
    """Write a table."""
    made = blosc2.CTable(Row, urlpath=str(path), mode="w")
    made.extend([(n, n / 2, f"n{n}") for n in range(rows)])
    if deleted:
        made.delete(list(deleted))
    made.close()
    return path


def embedded(path: Path, values: dict[str, Any] = VALUES) -> Path:
    """Write a frame with embedded leaves."""
    with blosc2.EmbedStore(str(path), mode="w") as store:
        for name, array in values.items():
            store[f"/{name}"] = blosc2.asarray(array)
        store["/bytes"] = blosc2.SChunk(data=b"hello" * 1000)
    return path


def sparse(path: Path, values: Any, **more: Any) -> Any:
    """Write a sparse frame: a directory with a file for each chunk."""
    path.parent.mkdir(exist_ok=True)
    chunks = (10, values.shape[1])
    return blosc2.asarray(
        values, chunks=chunks, blocks=(5, 100), urlpath=str(path), mode="w", contiguous=False,
        **more,
    )  # fmt: skip


def served(place: Path, limits: PublisherLimits = DEFAULTS.publisher) -> Source:
    """A directory as a publisher serves it."""
    formats = store_formats(place, limits)
    source = NestedStores(
        place, lambda enters: DirectorySource(place, formats=formats, enters=enters)
    )
    source.scan()
    return source


def names(source: Source, scope: str = "") -> set[str]:
    return {path for path, entry in source.scan(scope).items() if entry.kind != "group"}


def bytes_of(source: Source, path: str) -> bytes:
    """The content of a plain file."""
    info = source.info(DatasetPath(path))
    return b"".join(source.read_bytes(DatasetPath(path), info.etag, 0, info.nbytes))


def stored_chunks(source: Source, path: str) -> list[bytes]:
    """The chunks of a dataset as they travel."""
    info = source.info(DatasetPath(path))
    runs = source.chunks(DatasetPath(path), info.etag, range(info.nchunks))
    pieces = []
    for run in runs:
        left = bytes(run.payload)
        for size in run.sizes:
            pieces.append(left[:size])
            left = left[size:]
    return pieces
