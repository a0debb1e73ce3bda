"""Sealed replicas as arrays of Blosc2 that map the open file into memory."""

from __future__ import annotations

import os

import blosc2

from caterva2.cache.readable import Readable
from caterva2.cache.replica import Replica
from caterva2.frames.sealed import Sealed
from caterva2.reading.handles import SMALL_CHUNK, Handles
from caterva2.runtime import durable
from caterva2.runtime.lru import Lru


class MappedHandles(Handles):
    """The mapped arrays that the calling thread has open.

    An array is that of the very file which the replica has open: another process may have put a
    file with other places of the chunks under its name.

    Parameters
    ----------
    max_open : int
        Arrays of one thread.
    """

    def __init__(self, max_open: int) -> None:
        super().__init__(max_open)
        self._mapped: Lru[int, tuple[Sealed, blosc2.NDArray]] = Lru(max_open)

    def array(self, replica: Readable) -> blosc2.NDArray | None:
        """Open the sealed array of a replica; None if there is none."""
        sealed = replica.sealed
        if not isinstance(replica, Replica) or sealed is None:
            return None
        found = self._mapped.get(id(sealed))
        if found is not None:  # it refers to its frame, so there is no other with this identity
            return found[1]
        path = _path_of(replica)
        threads = 1 if replica.info.chunksize < SMALL_CHUNK else blosc2.nthreads
        try:
            array = blosc2.open(path, mmap_mode="r", dparams={"nthreads": threads})
        except (OSError, RuntimeError, ValueError):
            return None
        self._drop_removed()
        self._mapped.put(id(sealed), (sealed, array))
        return array

    def _drop_removed(self) -> None:
        """Close files that were removed, so that the disk gets their room back."""
        for key in self._mapped:
            found = self._mapped.peek(key)
            if found is not None and not os.fstat(found[0].file.fd).st_nlink:
                self._mapped.pop(key)


def _path_of(replica: Replica) -> str:
    path = durable.path_of(replica.descriptor)
    return str(path if os.path.exists(path) else replica.file)
