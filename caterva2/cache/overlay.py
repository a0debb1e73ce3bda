"""Chunks that the disk would not take, held in memory for whoever waits for them.

With a full or failing disk the cache degrades to passing chunks through: they live here for as
long as there is room, and are fetched again when they are needed once more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from caterva2 import limits


class Overlay:
    """A bounded store of chunks in memory, the least recently used going first.

    Parameters
    ----------
    most : int
        Bytes of all chunks together.
    """

    def __init__(self, most: int = limits.OVERLAY_BYTES) -> None:
        self._most = most
        self._size = 0
        self._chunks: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def put(self, owner: int, n: int, chunk: bytes) -> None:
        """Hold chunk ``n`` of an owner, which any number may name."""
        with self._lock:
            self._drop((owner, n))
            self._chunks[owner, n] = chunk
            self._size += len(chunk)
            while self._size > self._most and len(self._chunks) > 1:
                self._drop(next(iter(self._chunks)))

    def get(self, owner: int, n: int) -> bytes | None:
        """A chunk, if it is still held."""
        with self._lock:
            chunk = self._chunks.get((owner, n))
            if chunk is not None:
                self._chunks.move_to_end((owner, n))
            return chunk

    def forget(self, owner: int) -> None:
        """Drop all chunks of an owner."""
        with self._lock:
            for key in [key for key in self._chunks if key[0] == owner]:
                self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        chunk = self._chunks.pop(key, None)
        if chunk is not None:
            self._size -= len(chunk)
