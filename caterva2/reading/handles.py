"""Open Blosc2 arrays of sealed replicas, kept per thread: they are not to be shared."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import blosc2

from caterva2 import limits
from caterva2.cache.readable import Readable

SMALL_CHUNK = 100 * limits.KIB
"""Below this more threads make decompression slower."""


class Handles(threading.local):
    """The arrays that the calling thread has open."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Path, str], blosc2.NDArray] = OrderedDict()

    def array(self, replica: Readable) -> blosc2.NDArray | None:
        """The sealed array of a replica; None if its file can't be opened by name any more."""
        path = replica.file
        if path is None:
            return None
        key = path, replica.info.etag
        array = self._open.get(key)
        if array is None:
            threads = 1 if replica.info.chunksize < SMALL_CHUNK else blosc2.nthreads
            try:
                array = blosc2.open(str(path), dparams={"nthreads": threads})
            except (OSError, RuntimeError):
                return None
            # Files that were removed from the cache free their room when nobody holds them.
            for gone in [known for known in self._open if not known[0].exists()]:
                del self._open[gone]
            self._open[key] = array
            while len(self._open) > limits.HANDLES:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return array
