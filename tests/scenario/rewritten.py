"""A writer that rewrites an HDF5 file all the time, and a reader beside it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import h5py
import numpy as np

import caterva2


def values_seen(client: caterva2.Client, file: Path, dataset: str) -> set[int]:
    """Read ``a``, all of one value, until five values were seen; no read may mix two of them.

    The writer pauses the longer, the more reads it has kept from being answered: a busy machine
    reads nothing in a short pause.
    """
    stop, seen = threading.Event(), set[int]()
    refused = 0

    def rewrite() -> None:
        value = 0
        while not stop.wait(0.15 * (1 + refused)):
            value += 1
            with h5py.File(file, "a" if value % 2 else "w", locking=False) as opened:
                if "a" not in opened:
                    opened.create_dataset("a", (4_000,), "i8", chunks=(100,), compression="gzip")
                opened["a"][:] = value

    writer = threading.Thread(target=rewrite)
    writer.start()
    until = time.monotonic() + 60
    try:
        while len(seen) < 5 and time.monotonic() < until:
            try:
                found = client.fetch(dataset)
            except (caterva2.HttpError, caterva2.Unreachable):
                refused += 1
                time.sleep(0.02)
                continue
            assert len(np.unique(found)) == 1
            seen.add(int(found[0]))
            refused = 0
    finally:
        stop.set()
        writer.join()
    return seen
