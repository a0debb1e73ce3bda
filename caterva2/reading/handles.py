"""Open Blosc2 arrays of sealed replicas, kept per thread since they can't be shared."""

from __future__ import annotations

import threading
from pathlib import Path

import blosc2

from caterva2.cache.readable import Readable
from caterva2.limits.constants import KIB
from caterva2.runtime.lru import Lru

SMALL_CHUNK = 100 * KIB
"""Decompressed bytes of a chunk below which more threads make decompression slower."""


class Handles(threading.local):
    """The arrays that the calling thread has open.

    Parameters
    ----------
    max_open : int
        Arrays of one thread.
    """

    def __init__(self, max_open: int) -> None:
        self._open: Lru[tuple[Path, str, str], blosc2.NDArray] = Lru(max_open)

    def array(self, replica: Readable) -> blosc2.NDArray | None:
        """Open the sealed array of a replica; None if its file was removed or replaced."""
        path, sealed = replica.file, replica.sealed
        if path is None or sealed is None:
            return None
        key = path, replica.info.etag, sealed.layout
        array = self._open.get(key)
        if array is None:
            threads = 1 if replica.info.chunksize < SMALL_CHUNK else blosc2.nthreads
            try:
                array = blosc2.open(str(path), dparams={"nthreads": threads})
            except (OSError, RuntimeError):
                return None
            self._drop_removed()
            self._open.put(key, array)
        return array

    def _drop_removed(self) -> None:
        """Close files that were removed from the cache, so that the disk gets their room back."""
        for key in self._open:
            if not key[0].exists():
                self._open.pop(key)
