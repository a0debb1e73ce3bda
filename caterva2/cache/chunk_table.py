"""Which chunks of a replica are stored, where, and which were verified since the start."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from caterva2.cache.readable import Ids

SPECIAL = np.uint64(2**63)
"""Offsets from here on are of chunks that only the index knows: they take no room."""


class ChunkTable:
    """The records of an index, and what is known about them.

    Methods that change a record are serialised by the replica.

    Parameters
    ----------
    records : ndarray of `index.RECORD`
        A view of the index; ``length`` 0 means that the chunk is not stored.

    Attributes
    ----------
    verified : ndarray of bool
        Which chunks passed the gate, or had the right digest, since the start.
    proven : ndarray of bool
        Which chunks were decoded since the start, to be sent as they are.
    count : int
        Number of stored chunks.
    """

    def __init__(self, records: npt.NDArray[np.void]) -> None:
        self.records = records
        self.verified = np.zeros(len(records), bool)
        self.proven = np.zeros(len(records), bool)
        self.count = 0
        self._all_verified = False

    def __len__(self) -> int:
        return len(self.records)

    def clear(self) -> None:
        """Forget all chunks."""
        self.records["length"] = 0

    def load(self, size: int) -> int:
        """Count the stored chunks, after those behind the end of the data file were forgotten.

        Parameters
        ----------
        size : int
            Bytes that the data file has for chunks: a crash may have cut it off.

        Returns
        -------
        int
            Number of forgotten chunks.
        """
        records = self.records
        stored = (records["length"] > 0) & (records["offset"] < SPECIAL)
        torn = stored & (records["offset"] + records["length"] > size)
        count = int(torn.sum())
        if count:
            records["length"][torn] = 0
        self.count = int((records["length"] > 0).sum())
        return count

    @property
    def complete(self) -> bool:
        """Whether every chunk is stored."""
        return self.count == len(self.records)

    def is_filled(self) -> bool:
        """Look at every record, whatever the count says: a sealed frame must have no gap."""
        return bool((self.records["length"] > 0).all())

    @property
    def trusted(self) -> bool:
        """Whether every chunk is stored and was verified since the start."""
        if not self._all_verified:
            self._all_verified = bool(self.verified.all())
        return self._all_verified and self.complete

    @property
    def nbytes(self) -> int:
        """Stored bytes of all chunks."""
        return int(self.records["length"].sum(dtype=np.int64))

    def missing(self, ids: Ids) -> Ids:
        """Return those of some chunks that are not stored."""
        absent: Ids = ids[self.records["length"][ids] == 0]
        return absent

    def unverified(self, ids: Ids) -> Ids:
        """Return those of some chunks that were not verified since the start."""
        found: Ids = ids[~self.verified[ids]]
        return found

    def put(self, ids: Ids, records: npt.NDArray[np.void]) -> None:
        """Record chunks that were stored, and passed the gate."""
        self.count += len(np.unique(self.missing(ids)))
        for field in ("offset", "crc", "length"):  # without a length a record does not count
            self.records[field][ids] = records[field]
        self.verified[ids] = True
        self.proven[ids] = False

    def forget(self, n: int) -> None:
        """Forget a chunk that turned out to be damaged."""
        if self.records["length"][n]:
            self.count -= 1
        self.records["length"][n] = 0
