"""An array that is rewritten under readers, who must see one version at a time, and none again."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import blosc2
import numpy as np

import caterva2

CHUNKS, ITEMS = 40, 5_000


def write(file: Path, value: int) -> None:
    """Replace an array by one whose items all have a value."""
    new = file.with_name("new")
    values = np.full(CHUNKS * ITEMS, value, "<i8")
    values[1::2] ^= 2**40  # no chunk is of one value, which would have no bytes
    blosc2.asarray(values, chunks=(ITEMS,), urlpath=str(new), mode="w")
    os.replace(new, file)


class Readers:
    """Threads that read the array until they are stopped.

    Attributes
    ----------
    reads, mixed, back : int
        Reads; those of values of several versions, and of an earlier one than before.
    errors : list of str
    seen : dict
        When each version was first read.
    """

    def __init__(self, client: caterva2.Client, count: int = 4) -> None:
        self.reads = self.mixed = self.back = 0
        self.errors: list[str] = []
        self.seen: dict[int, float] = {}
        self._client = client
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        last = -1
        while not self._stop.wait(0.02):
            try:
                found = self._client.fetch("foo/a.b2nd")
            except caterva2.CatervaError as error:
                self.errors.append(str(error))
                continue
            self.reads += 1
            value = int(found[0])
            self.seen.setdefault(value, time.monotonic())
            found[1::2] ^= 2**40
            self.mixed += not np.all(found == value)
            self.back += value < last
            last = value

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def freshness(self, written: dict[int, float]) -> list[float]:
        """Return the seconds until the versions that were read were first read, sorted."""
        return sorted(self.seen[one] - written[one] for one in self.seen if one in written)
