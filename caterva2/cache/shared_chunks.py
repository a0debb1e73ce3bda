"""Chunks that go over from one version of a dataset to the next, with the file that they lie in.

The new version goes on with the data file of the former one. Its index has the former chunks as
candidates: the publisher has to confirm each before it is one of the new version. Chunks that are
of no use any more leave gaps in the file, until the others are copied to a new one.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np

from caterva2.cache import chunk_table
from caterva2.cache.chunk_file import ChunkFile, Room
from caterva2.cache.chunk_table import ChunkTable, Records
from caterva2.cache.datafile import DataFile
from caterva2.cache.index import RECORD, Index
from caterva2.cache.readable import Ids
from caterva2.errors import CodecNotAllowed, SourceCorrupt
from caterva2.frames.raw import crc32
from caterva2.frames.sealed import Sealed

log = logging.getLogger(__name__)
SEALED_WASTE = 1 / 8
"""Bytes of no use that a frame is sealed with, as a share of those of its chunks."""
WASTE = 1 / 2
"""Bytes of no use that stay in a file which is not complete, as a share of those of its chunks."""


class SharedChunks(ChunkFile):
    """The stored chunks of one version, and candidates of the former one."""

    def __init__(self, index: Index, base: Path | None, room: Room | None = None) -> None:
        self._base = base
        self._renewing = threading.Lock()
        self._stays = False  # once it failed, until the replica is opened anew
        super().__init__(index, base, room)

    @property
    def may_offer(self) -> bool:
        """Whether there are chunks of a former version."""
        return self._table.candidates > 0

    def offer(self, n: int) -> bytes | None:
        """Read a former version's chunk in the place of chunk ``n``, if there is a good one."""
        table, data = self._stored
        found = table.candidate(n)
        if found is None or data is None:
            return None
        offset, length, crc = found
        try:
            chunk = data.chunk(offset, length)
            if len(chunk) == length and crc32(chunk) == crc:
                self._gate.check(n, chunk)
                return chunk
        except (SourceCorrupt, CodecNotAllowed, OSError):
            pass  # it is fetched as if there were none
        self.withdraw(n)
        return None

    def withdraw(self, n: int) -> None:
        """Forget the chunk of a former version."""
        with self._lock:
            if self._table.candidate(n) is not None:
                self._table.forget(n)

    def _confirm(self, n: int) -> bool:
        """Make the former version's chunk chunk ``n``; return False if there is none."""
        with self._lock:
            found = self._table.candidate(n)
            if found is not None:
                self._table.put(np.array([n]), np.array([found], RECORD))
            return self._table.stored(n) is not None

    # --- renewal ---

    @property
    def wasteful(self) -> bool:
        """Whether much of the data file is of no use, which `renew` would give back."""
        may = self._sealed is None and not self._stays and not self._retired
        return may and self._wastes(WASTE)

    def _wastes(self, share: float) -> bool:
        table, data = self._stored
        return data is not None and data.end - data.start > (1 + share) * table.used

    def seal(self) -> Sealed | None:
        if self._sealed is None and self._wastes(SEALED_WASTE) and self._table.is_filled():
            self.renew()
        return super().seal()

    def renew(self) -> None:
        """Copy all chunks to a new file, in their order, and go on with that.

        Readers of the old file are not disturbed. Where it fails everything stays as it is.
        """
        if not self._renewing.acquire(blocking=False):
            return
        try:
            self._renew()
        except OSError as error:
            self._stays = True
            log.warning("%s/%s takes more room than it needs: %s", self.root, self.info.path, error)
        finally:
            self._renewing.release()

    def _renew(self) -> None:
        table, data = self._stored
        if self._base is None or data is None or self._sealed is not None or self._retired:
            return
        if self._room is not None:
            self._room.take(table.used)
        copy = DataFile(self._base, self._suffix, self._template, copy=True)
        try:
            with self._lock:
                records = table.records.copy()
            before = records.copy()
            _copy(data, copy, records, np.arange(len(records)))
            with self._lock:
                if not self._retired and self._sealed is None:
                    late = np.flatnonzero(table.records != before)
                    records[late] = table.records[late]
                    _copy(data, copy, records, late)
                    self._go_on_with(copy, records)
        finally:
            if self._data is not copy:
                copy.discard()
            if self._room is not None:
                self._room.settle()

    def _go_on_with(self, copy: DataFile, records: Records) -> None:
        """Put files in place of the present ones; after a crash in between all chunks are lost."""
        assert self._base is not None
        former, (table, data) = self._index, self._stored
        assert data is not None
        index = Index.create(self._base.with_suffix(".index"), self.root, self.info, records)
        copied = ChunkTable(index.records)
        copied.adopt(table)
        copy.replace(data)
        self._index, self._stored, self.kept = index, (copied, copy), False
        former.close()


def _copy(source: DataFile, target: DataFile, records: Records, ids: Ids) -> None:
    """Copy the bytes of some chunks, whose records get their new places."""
    sizes = chunk_table.lengths(records[ids])
    ids, sizes = ids[sizes > 0], sizes[sizes > 0]
    records["offset"][ids] = target.copy(source, records["offset"][ids].astype(np.int64), sizes)
