"""Which chunks of a replica are stored, where, and which were verified since the start."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from caterva2.cache.readable import Ids

SPECIAL = np.uint64(2**63)
"""Offsets from here on are of chunks that only the index knows: they take no room."""
CANDIDATE = np.uint32(2**31)
"""Flag in the length of a record: the chunk is a former version's, and may be this one's too."""
_INVERTED = np.uint32(2**32 - 1)
"""What the CRC-32 of a candidate is combined with, so that no single damaged bit confirms it."""
Records = npt.NDArray[np.void]


def candidates_of(records: Records) -> Records:
    """Return the records of chunks that a later version of their dataset may share."""
    made = records.copy()
    stored = made["length"] < CANDIDATE
    made["length"] |= CANDIDATE
    made["crc"][stored] ^= _INVERTED
    return made


def has_bytes(records: Records) -> npt.NDArray[np.bool_]:
    """Return which records are of chunks in the data file: stored ones, and candidates."""
    found: npt.NDArray[np.bool_] = (records["length"] > 0) & (records["offset"] < SPECIAL)
    return found


def lengths(records: Records) -> npt.NDArray[np.int64]:
    """Return the bytes that each chunk has in the data file."""
    return np.where(has_bytes(records), records["length"] & ~CANDIDATE, 0).astype(np.int64)


def _is_stored(records: Records) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (records["length"] > 0) & (records["length"] < CANDIDATE)
    return found


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
    count, candidates : int
        Number of stored chunks, and of chunks that a former version had.
    used : int
        Bytes of the data file that these take.
    """

    def __init__(self, records: Records) -> None:
        self.records = records
        self.verified = np.zeros(len(records), bool)
        self.proven = np.zeros(len(records), bool)
        self.count = 0
        self.candidates = 0
        self.used = 0
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
        records, taken = self.records, lengths(self.records)
        torn = (taken > 0) & (records["offset"] + taken.astype(np.uint64) > size)
        count = int((torn & _is_stored(records)).sum())
        if torn.any():
            records["length"][torn] = 0
            taken[torn] = 0
        self.count = int(_is_stored(records).sum())
        self.candidates = int((records["length"] > CANDIDATE).sum())
        self.used = int(taken.sum())
        return count

    @property
    def complete(self) -> bool:
        """Whether every chunk is stored."""
        return self.count == len(self.records)

    def is_filled(self) -> bool:
        """Look at every record, whatever the count says: a sealed frame must have no gap."""
        return bool(_is_stored(self.records).all())

    @property
    def trusted(self) -> bool:
        """Whether every chunk is stored and was verified since the start."""
        if not self._all_verified:
            self._all_verified = bool(self.verified.all())
        return self._all_verified and self.complete

    @property
    def nbytes(self) -> int:
        """Stored bytes of all chunks."""
        records = self.records
        return int(records["length"][_is_stored(records)].sum(dtype=np.int64))

    def missing(self, ids: Ids) -> Ids:
        """Return those of some chunks that are not stored."""
        absent: Ids = ids[~_is_stored(self.records[ids])]
        return absent

    def unverified(self, ids: Ids) -> Ids:
        """Return those of some chunks that were not verified since the start."""
        found: Ids = ids[~self.verified[ids]]
        return found

    def stored(self, n: int) -> tuple[int, int, int] | None:
        """Return offset, length and CRC-32 of a chunk; None if it is not stored."""
        # In one piece: the record may be repaired meanwhile.
        offset, length, crc = self.records[n].item()
        return (offset, length, crc) if 0 < length < CANDIDATE else None

    def candidate(self, n: int) -> tuple[int, int, int] | None:
        """Return offset, length and CRC-32 of a former version's chunk; None if there is none."""
        offset, length, crc = self.records[n].item()
        if length <= CANDIDATE:
            return None
        return offset, length - int(CANDIDATE), crc ^ int(_INVERTED)

    def put(self, ids: Ids, records: Records) -> None:
        """Record chunks that were stored, and passed the gate."""
        changed = np.unique(ids)
        if self.records["length"][changed].any():
            self._count(changed, -1)
        for field in ("offset", "crc", "length"):  # without a length a record does not count
            self.records[field][ids] = records[field]
        self._count(changed, 1)
        self.verified[ids] = True
        self.proven[ids] = False

    def forget(self, n: int) -> None:
        """Forget a chunk that turned out to be damaged, or a candidate that is of no use."""
        changed = np.array([n])
        self._count(changed, -1)
        self.records["length"][n] = 0

    def _count(self, ids: Ids, sign: int) -> None:
        records = self.records[ids]
        self.count += sign * int(_is_stored(records).sum())
        self.candidates += sign * int((records["length"] > CANDIDATE).sum())
        self.used += sign * int(lengths(records).sum())

    def adopt(self, former: ChunkTable) -> None:
        """Know what another table does, whose chunks were copied to other places.

        What was copied is verified anew when it is read.
        """
        self.proven = former.proven
        self.count, self.candidates, self.used = former.count, former.candidates, former.used
