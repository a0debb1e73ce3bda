"""Chunks that the disk refused, held in memory for their readers.

With a full or failing disk the cache degrades to passing chunks through: they live here for as
long as there is room, and are fetched again when they are needed once more.
"""

from __future__ import annotations

import threading

from caterva2.runtime.lru import Lru


class Overlay:
    """A bounded store of chunks in memory. All methods may be called from any thread.

    Parameters
    ----------
    max_bytes : int
        Bytes of all chunks together; the chunk that was put last is held in any case.
    """

    def __init__(self, max_bytes: int) -> None:
        self._chunks: Lru[tuple[int, int], bytes] = Lru(max_bytes, len, keep_newest=True)
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(len(self._chunks))

    def put(self, owner: int, n: int, chunk: bytes) -> None:
        """Hold chunk ``n`` of an owner, which is any number."""
        with self._lock:
            self._chunks.put((owner, n), chunk)

    def get(self, owner: int, n: int) -> bytes | None:
        """Return a chunk, None if it is not held any more."""
        with self._lock:
            return self._chunks.get((owner, n))

    def drop(self, owner: int, n: int) -> None:
        """Drop one chunk."""
        with self._lock:
            self._chunks.pop((owner, n))

    def forget(self, owner: int) -> None:
        """Drop all chunks of an owner."""
        with self._lock:
            for key in self._chunks:
                if key[0] == owner:
                    self._chunks.pop(key)
