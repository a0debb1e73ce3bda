"""A replica of an array, damage to it, and its store after a restart."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import samples

from caterva2.arrays.selection import normalise
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.names import RootName
from caterva2.reading import slices

ROOT = RootName("foo")
VALUES = np.random.default_rng(5).integers(0, 2**30, 100)
FRAME = samples.array_frame(VALUES, {"a": 1}, chunks=(10,), blocks=(5,))
RAW = samples.raw_chunks(FRAME)
INFO = samples.describe(FRAME)
EVERYTHING = np.arange(10)


def reopened(store: Store, tmp_path: Path) -> Store:
    """The store after a restart of the subscriber."""
    store.close()
    gc.collect(1)  # what is old can hold no replica
    return Store(tmp_path / "cache")


def damage(replica: Replica, n: int) -> None:
    """Flip a bit of a stored chunk."""
    at = place(replica, n) + 40
    with replica.file.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def place(replica: Replica, n: int) -> int:
    at = replica.file.read_bytes().find(RAW[n])
    assert at > 0
    return at


def sliced(replica: Replica, start: int, stop: int) -> slices.Values | None:
    return slices.values(replica, normalise(slice(start, stop), replica.info.shape))
