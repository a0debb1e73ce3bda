"""Versions of a dataset in a cache."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import samples

from caterva2.arrays.selection import normalise
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.frames import blocks
from caterva2.model import DatasetInfo
from caterva2.names import RootName
from caterva2.reading import slices

ROOT = RootName("foo")
RNG = np.random.default_rng(11)
ROWS = RNG.integers(0, 2**60, (12, 40))
GRID = {"chunks": (1, 40), "blocks": (1, 20)}


class Version:
    """A version of the dataset, as its publisher has it."""

    def __init__(self, values: Any, number: int = 1, **grid: Any) -> None:
        self.values = np.asarray(values)
        # One thread writes the blocks in their order.
        frame = samples.array_frame(self.values, cparams={"nthreads": 1}, **(grid or GRID))
        self.raw = samples.raw_chunks(frame)
        described = samples.describe(frame, etag=f"v{number}")
        self.info: DatasetInfo = described.model_copy(update={"mtime": float(number)})
        self.ids = np.arange(self.info.nchunks)

    def opened(self, store: Store, *, newest: bool = True) -> Replica:
        return store.replica(ROOT, self.info, newest=newest)

    def fetched(self, replica: Replica, ids: Any = None) -> tuple[list[int], list[int]]:
        """Do what a fetch does; the chunks that were kept, and those that came over the link."""
        missing = replica.missing(self.ids if ids is None else np.asarray(ids)).tolist()
        offers = replica.offers(missing) or (b"",) * len(missing)
        kept = [
            n for n, digest in zip(missing, offers, strict=True)
            if digest and digest == blocks.digest(self.raw[n])
        ]  # fmt: skip
        for n in kept:
            replica.confirm(n)
        sent = [n for n in missing if n not in kept]
        if sent:
            samples.fill(replica, self.raw, sent)
        return kept, sent


def complete(store: Store, version: Version) -> Replica:
    replica = version.opened(store)
    version.fetched(replica)
    replica.seal()
    replica.keep()
    return replica


def files(store: Store) -> int:
    """Bytes of all files of a store."""
    return sum(file.stat().st_size for file in store._directory.rglob("*") if file.is_file())


def size(store: Store, version: Version) -> int:
    """Bytes of the files of all versions, without the index."""
    directory = version.opened(store).file.parent
    return sum(file.stat().st_size for file in directory.glob("*") if file.suffix != ".index")


def cut(replica: Replica, start: int, stop: int) -> Any:
    return slices.values(replica, normalise(slice(start, stop), replica.info.shape))


def reopened(store: Store, tmp_path: Path) -> Store:
    store.close()
    gc.collect(1)  # what is old can hold no replica
    return Store(tmp_path / "cache")
