"""The chunks of one version of a dataset on the disk: a data file that grows, and its index.

The data file is a Blosc2 frame in the making: header, then chunks in the order of arrival. When
all chunks are stored it is sealed: index and trailer are written behind them and the header is
patched, which makes it a plain frame that anybody can open. The file is only ever appended to,
so the reader of a chunk or of the sealed frame is never disturbed. A later version may go on with
the file, and patches its header when it is complete itself.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from caterva2.cache.chunk_table import SPECIAL, ChunkTable, Records
from caterva2.cache.datafile import ARRAY, BYTES, DataFile
from caterva2.cache.gate import Gate
from caterva2.cache.index import RECORD, Index
from caterva2.cache.readable import Ids
from caterva2.errors import SourceCorrupt, StaleVersion
from caterva2.frames import chunk as chunks
from caterva2.frames import compose
from caterva2.frames.raw import crc32
from caterva2.frames.sealed import Sealed
from caterva2.limits.constants import KIB
from caterva2.model import DatasetInfo
from caterva2.names import RootName

log = logging.getLogger(__name__)
RUN_CHUNK = 64 * KIB
"""Mean size of chunks up to which those that lie side by side are read by one call."""


class Room(Protocol):
    """Grant room on the disk before a replica writes."""

    def take(self, size: int) -> None:
        """Count bytes that are about to be written; `OSError` if there is no room."""
        ...

    def settle(self) -> None:
        """Count the bytes that the replica's files have now."""
        ...


class ChunkFile:
    """The stored chunks of one version. All methods may be called from any thread.

    Parameters
    ----------
    index : Index
    base : Path or None
        Path of the files without a suffix; None keeps nothing on the disk.
    room : Room, optional
        Asked for room before anything is written.

    Attributes
    ----------
    kept : bool
        Whether the sealed file is flushed and has its final name.
    torn_chunks : int
        Chunks that were forgotten at the start, since a crash cut the data file off.
    succeeded : bool
        Whether a later version has taken the data file over.
    """

    def __init__(self, index: Index, base: Path | None, room: Room | None = None) -> None:
        self.info: DatasetInfo = index.info
        self.root: RootName = index.root
        self.kept = False
        self.torn_chunks = 0
        self.succeeded = False
        self._retired = False
        self._index = index
        self._room = room
        self._lock = threading.Lock()
        self._sealed: Sealed | None = None
        self._stored: tuple[ChunkTable, DataFile | None] = ChunkTable(index.records), None
        try:
            self._gate = Gate(self.info)
            self._template = compose.template(self.info)
            if base is not None:
                self._open_data(base)
        except BaseException:
            self.close()
            raise

    def _open_data(self, base: Path) -> None:
        data = DataFile(base, self._suffix, self._template)
        self._stored = self._table, data
        if data.fresh:
            self._table.clear()
        self.torn_chunks = self._table.load(data.end - data.start)
        if self.torn_chunks:
            log.warning("%s/%s: %d chunks torn", self.root, self.info.path, self.torn_chunks)
        if self.complete:
            self._take_up_seal(data)
            try:
                self.seal()
            except OSError as error:
                log.error("%s/%s can't be sealed: %s", self.root, self.info.path, error)

    def _take_up_seal(self, data: DataFile) -> None:
        tail = self._tail()
        self._sealed = data.earlier_seal(tail, self._template.header, self._layout(tail))
        self.kept = self._sealed is not None

    def catch_up(self) -> bool:
        """Take up what other processes stored; return False if the files were removed or replaced.

        Processes that share a replica exclude each other when they call this, store or seal.
        """
        with self._lock:
            data = self._data
            if data is None or self._retired or not data.is_there():
                return False
            end = os.fstat(data.fd).st_size
            if end != data.end:
                data.end = end
                self._table.load(end - data.start)
                self._sealed = None
            if self._sealed is None and self._table.is_filled():
                self._table.load(end - data.start)
                self._take_up_seal(data)
            return True

    def close(self) -> None:
        """Let go of the files; a sealed frame that is being sent stays open until then."""
        self._stored = self._table, None
        self._sealed = None
        self._index.close()

    # --- state ---

    @property
    def _suffix(self) -> str:
        return ARRAY if self.info.kind == "array" else BYTES

    @property
    def _table(self) -> ChunkTable:
        return self._stored[0]

    @property
    def _data(self) -> DataFile | None:
        return self._stored[1]

    @property
    def file(self) -> Path | None:
        """Current path of the data file; None if there is none, or another version has it."""
        return None if self._data is None or self.succeeded else self._data.path

    @property
    def descriptor(self) -> int:
        """Descriptor of the open data file, to open it once more; -1 if there is none."""
        return -1 if self._data is None or self.succeeded else self._data.fd

    @property
    def complete(self) -> bool:
        """Whether every chunk is stored."""
        return self._table.complete

    @property
    def trusted(self) -> bool:
        """Whether every chunk is stored and was verified since the start."""
        return self._table.trusted

    @property
    def sealed(self) -> Sealed | None:
        """The complete frame, once it was sealed and as long as nothing in it turned out bad."""
        return self._sealed

    @property
    def cached_chunks(self) -> int:
        return self._table.count

    @property
    def cached_bytes(self) -> int:
        """Stored bytes of the cached chunks."""
        return self._table.nbytes

    # --- writing ---

    def check(self, n: int, chunk: memoryview | bytes) -> None:
        """Raise `SourceCorrupt` or `CodecNotAllowed` unless this can be chunk ``n``."""
        self._gate.check(n, chunk)

    def check_header(self, n: int, header: bytes) -> None:
        """Check a chunk of which only the header, and some blocks, were received."""
        self._gate.check_header(n, header)

    def _store(
        self,
        ids: Sequence[int],
        digests: Sequence[int],
        views: list[memoryview],
        payload: memoryview,
    ) -> None:
        records = np.empty(len(ids), RECORD)
        records["length"], records["crc"] = list(map(len, views)), digests
        special = np.zeros(len(ids), np.uint64)
        pieces: list[memoryview] = []
        for at, (n, chunk) in enumerate(zip(ids, views, strict=True)):
            kind = chunks.special_offset(chunk) if len(chunk) == chunks.HEADER else 0
            if kind:
                # The index alone stands for the chunk, so the digest is of what it stands for.
                records["crc"][at] = crc32(self._gate.special(n, kind))
                special[at] = kind
            else:
                pieces.append(chunk)
        if self._room is not None and self._writable() is not None:
            # Without the lock: others may have to be removed, whose locks are like this one.
            self._room.take(sum(map(len, pieces)))
        with self._lock:
            data = self._writable()
            if data is None:
                return  # all are stored, and nothing belongs behind the frame
            lengths = np.where(special > 0, 0, records["length"]).astype(np.int64)
            places = data.end - data.start + np.cumsum(lengths) - lengths
            records["offset"] = np.where(special > 0, special, places.astype(np.uint64))
            data.append([payload] if len(pieces) == len(views) else pieces)
            self._table.put(np.asarray(ids, np.int64), records)

    def _writable(self) -> DataFile | None:
        """Return the data file to append to, None if it is sealed; `OSError` if there is none."""
        if self._data is None or self._retired:
            raise OSError("its files were removed" if self._retired else "it has no file")
        return None if self._sealed is not None else self._data

    def retire(self) -> None:
        """Store nothing more, since the files were removed; readers may finish."""
        with self._lock:
            self._retired = True

    def hand_over(self) -> Records:
        """Leave the data file to a later version; return the records of the chunks.

        What is being read is not disturbed, since all of it stays where it is. The file is not
        opened as an array any more, since its header will be that of the later version.
        """
        with self._lock:
            self._retired = self.succeeded = True
            return self._table.records

    def take_back(self) -> None:
        """Go on with the data file, which no later version took over after all."""
        with self._lock:
            self._retired = self.succeeded = False

    # --- reading ---

    def _read_runs(self, ids: Ids) -> list[bytes] | None:
        """Read small verified chunks, those side by side by one call; None for any others."""
        with self._lock:  # no record is repaired meanwhile
            data, records = self._data, self._table.records[ids]
            verified = bool(self._table.verified[ids].all())
        offsets, sizes = records["offset"], records["length"].astype(np.int64)
        if data is None or not verified or not sizes.all() or sizes.sum() > RUN_CHUNK * len(ids):
            return None
        if bool((offsets >= SPECIAL).any()):
            return None
        try:
            return list(data.chunks(offsets.astype(np.int64), sizes))
        except (SourceCorrupt, OSError):
            return None  # reading them one by one finds out which is damaged

    def _read_stored(self, n: int) -> bytes | None:
        """Read a chunk, verified once since the start; None if it is missing or damaged."""
        table, data = self._stored
        found = table.stored(n)
        if found is None or data is None:
            return None
        offset, length, crc = found
        try:
            special = offset >= SPECIAL
            chunk = self._gate.special(n, offset) if special else data.chunk(offset, length)
        except (SourceCorrupt, OSError) as error:
            self._forget(n, str(error))
            return None
        if not table.verified[n]:
            if len(chunk) != length or crc32(chunk) != crc:
                self._forget(n, "its digest is wrong")
                return None
            table.verified[n] = True
        return chunk

    def _forget(self, n: int, why: str) -> None:
        log.warning("%s/%s: chunk %d is fetched anew: %s", self.root, self.info.path, n, why)
        with self._lock:
            self._sealed = None
            self.kept = False
            self._table.forget(n)

    # --- sealing ---

    def seal(self) -> Sealed | None:
        """Make the data file a plain frame, if every chunk is stored.

        Safe to call again; after a chunk was replaced the tail is written anew behind it.

        Raises
        ------
        StaleVersion
            If a later version has taken the file over.
        OSError
            If the tail can't be written.
        """
        with self._lock:
            if self._sealed is None and self.succeeded:
                raise StaleVersion(f"{self.root}/{self.info.path} has another version now")
            if self._sealed is None and self._data is not None and self._table.is_filled():
                tail = self._tail()
                self._sealed = self._data.seal(tail, self._template.header, self._layout(tail))
            return self._sealed

    def _layout(self, tail: bytes) -> str:
        """Return a name for where the chunks are, and for their bytes, which may differ too."""
        return f"{crc32(self._table.records['crc'].tobytes(), crc32(tail)):08x}"

    def _tail(self) -> bytes:
        """Compose what follows the chunks when all are stored."""
        return compose.index_and_trailer(self._template, self._table.records["offset"].copy())

    def keep(self, *, flush: bool = True) -> None:
        """Flush a sealed replica to the disk and give it its final name; once is enough.

        Without the flush a crash of the machine may damage it, which its next reader notices.

        Raises
        ------
        OSError
            If that failed; it still serves, and a later start seals it again.
        """
        if self.kept or self._sealed is None or self._data is None:
            return
        self.kept = True
        if flush:
            self._index.flush()
        self._data.finish(flush=flush)
