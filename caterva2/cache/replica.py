"""One version of a dataset in the cache: a data file that grows, and its index.

The data file is a Blosc2 frame in the making: header, then chunks in the order of arrival.
When all are there it is sealed: index and trailer are written behind them and the header is
patched, which makes it a plain frame that anybody can open. The file is only ever appended to,
so whoever reads a chunk or the sealed frame is never disturbed.
"""

from __future__ import annotations

import itertools
import logging
import threading
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from caterva2 import limits
from caterva2.cache.datafile import DataFile
from caterva2.cache.index import RECORD, Index
from caterva2.cache.maps import Maps
from caterva2.cache.overlay import Overlay
from caterva2.cache.parts import Parts
from caterva2.cache.readable import Ids
from caterva2.cache.touched_blocks import Touched
from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.frames import compose
from caterva2.frames.blocks import Map
from caterva2.frames.sealed import Sealed
from caterva2.model import DatasetInfo
from caterva2.names import RootName

log = logging.getLogger(__name__)
_SPECIAL = np.uint64(2**63)
"""Offsets from here on are of chunks that only the index knows."""
RUN_CHUNK = 64 * limits.KIB
"""Mean size of chunks up to which those that lie side by side are read by one call."""
_owners = itertools.count()


class Room(Protocol):
    """Who decides whether there is room for more."""

    def take(self, size: int) -> None:
        """Count some bytes that are about to be written; `OSError` if there is no room."""
        ...


class Replica:
    """A sparse copy of one version of a dataset; all methods may be called from any thread.

    Parameters
    ----------
    index : Index
    base : Path or None
        Path of the files without a suffix; None keeps nothing on the disk.
    overlay : Overlay, optional
        Holds the chunks that the disk does not take.
    room : Room, optional
        FetchParams before something is written.
    parts : Parts, optional
        Holds chunks of which only some blocks are there.
    maps : Maps, optional
        Remembers where the blocks of chunks are.
    """

    def __init__(
        self,
        index: Index,
        base: Path | None,
        overlay: Overlay | None = None,
        room: Room | None = None,
        parts: Parts | None = None,
        maps: Maps | None = None,
    ) -> None:
        self.info: DatasetInfo = index.info
        self.root: RootName = index.root
        self.kept = False
        self.torn_chunks = 0
        self.write_error = ""
        self._retired = False
        self._index = index
        self._records = index.records
        self._overlay = overlay if overlay is not None else Overlay()
        self._parts = parts if parts is not None else Parts()
        self._maps = maps if maps is not None else Maps()
        self._owner = next(_owners)
        self._room = room
        self._lock = threading.Lock()
        self._shape = chunks.ChunkShape.of(self.info.kind, self.info.typesize, self.info.blocksize)
        self._verified = np.zeros(len(self._records), bool)
        self._all_verified = False
        self._sealed: Sealed | None = None
        self._have = 0
        self._data: DataFile | None = None
        try:
            self._template = compose.template(self.info)
            if base is not None:
                self._open_data(base)
        except BaseException:
            self.close()
            raise

    def _open_data(self, base: Path) -> None:
        suffix = ".b2nd" if self.info.kind == "array" else ".b2frame"
        data = self._data = DataFile(base, suffix, self._template)
        if data.fresh:
            self._records["length"] = 0
        self._drop_torn(data.end - data.start)
        self._have = int((self._records["length"] > 0).sum())
        if self.complete:
            self._sealed = data.earlier_seal(self._tail(), self._template.header)
            self.kept = self._sealed is not None
            try:
                self.seal()
            except OSError as error:
                log.error("%s/%s can't be sealed: %s", self.root, self.info.path, error)

    def _drop_torn(self, size: int) -> None:
        """Forget chunks that the index knows but the data file lost in a crash."""
        records = self._records
        stored = (records["length"] > 0) & (records["offset"] < _SPECIAL)
        torn = stored & (records["offset"] + records["length"] > size)
        self.torn_chunks = int(torn.sum())
        if self.torn_chunks:
            log.warning("%s/%s: %d chunks torn", self.root, self.info.path, self.torn_chunks)
            records["length"][torn] = 0

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; who still sends the sealed frame keeps it open."""
        self._data = self._sealed = None
        if hasattr(self, "_owner"):
            self._overlay.forget(self._owner)
            self._parts.forget(self._owner)
        self._index.close()

    # --- what is there ---

    @property
    def file(self) -> Path | None:
        """Where the data file is now, if there is one."""
        return self._data.path if self._data is not None else None

    @property
    def stored_bytes(self) -> int:
        """Bytes of the data file."""
        return self._data.end if self._data is not None else 0

    @property
    def complete(self) -> bool:
        """Whether every chunk is stored."""
        return self._have == len(self._records)

    @property
    def trusted(self) -> bool:
        """Whether every chunk is stored and was checked since the start."""
        if not self._all_verified:
            self._all_verified = bool(self._verified.all())
        return self._all_verified and self.complete

    @property
    def sealed(self) -> Sealed | None:
        """The complete frame, once it was sealed and as long as nothing in it turned bad."""
        return self._sealed

    @property
    def cached_chunks(self) -> int:
        return self._have

    @property
    def cached_bytes(self) -> int:
        """Stored bytes of the chunks that are there."""
        return int(self._records["length"].sum(dtype=np.int64))

    def missing(self, ids: Ids) -> Ids:
        """Those of some chunks that are not there."""
        absent: Ids = ids[self._records["length"][ids] == 0]
        if self._overlay and len(absent):
            held = [self._overlay.get(self._owner, n) is not None for n in absent.tolist()]
            absent = absent[~np.asarray(held)]
        return absent

    def missing_blocks(self, n: int, ids: Sequence[int]) -> list[int]:
        """Those of some blocks of a chunk that are not held, though the chunk may be there."""
        return self._parts.missing(self._owner, n, ids)

    def held_blocks(self, n: int) -> tuple[int, int]:
        """How many blocks of a chunk are held, and how often some of them were fetched."""
        return self._parts.held(self._owner, n)

    # --- filling ---

    def check(self, n: int, chunk: memoryview | bytes) -> None:
        """The gate: raise `SourceCorrupt` or `CodecNotAllowed` unless this can be chunk n."""
        if not 0 <= n < len(self._records):
            raise SourceCorrupt(f"{self.info.path} has no chunk {n}")
        chunks.check(chunk, self._shape, self.info.chunk_nbytes(n))

    def check_header(self, n: int, header: bytes) -> None:
        """The gate for a chunk of which only the header is there, and some blocks."""
        if not 0 <= n < len(self._records):
            raise SourceCorrupt(f"{self.info.path} has no chunk {n}")
        chunks.check_header(
            header, self._shape, self.info.chunk_nbytes(n), chunks.stored_size(header)
        )

    def hold_blocks(self, n: int, header: bytes, found: Mapping[int, bytes]) -> None:
        """Hold some blocks of a chunk in memory, as they are stored."""
        self._parts.add(self._owner, n, header, found)

    def add(
        self,
        ids: Sequence[int],
        sizes: Sequence[int],
        digests: Sequence[int],
        payload: memoryview | bytes,
    ) -> None:
        """Store raw chunks that passed the gate, or hold them in memory if the disk is full.

        Parameters
        ----------
        ids, sizes, digests : sequences of int
            Number, bytes and CRC-32 of each chunk; no number comes twice.
        payload : bytes-like
            The chunks, one behind the other.
        """
        view = memoryview(payload)
        ends = list(itertools.accumulate(sizes))
        views = [view[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        try:
            with self._lock:
                self._store(ids, digests, views, view)
            self.write_error = ""
            self._parts.drop(self._owner, ids)
        except OSError as error:
            if not self.write_error:
                log.error("%s/%s is not cached: %s", self.root, self.info.path, error)
            self.write_error = error.strerror or str(error)
            for n, chunk in zip(ids, views, strict=True):
                self._overlay.put(self._owner, n, bytes(chunk))

    def _store(
        self,
        ids: Sequence[int],
        digests: Sequence[int],
        views: list[memoryview],
        payload: memoryview,
    ) -> None:
        if self._data is None or self._retired:
            raise OSError("it has no file any more" if self._retired else "it has no file")
        if self._sealed is not None:
            return  # all are there, and nothing belongs behind the frame
        records = np.empty(len(ids), RECORD)
        records["length"], records["crc"] = list(map(len, views)), digests
        offset = self._data.end - self._data.start
        pieces: list[memoryview] = []
        offsets: list[int] = []
        for at, (n, chunk) in enumerate(zip(ids, views, strict=True)):
            special = chunks.special_offset(chunk) if len(chunk) == chunks.HEADER else 0
            if special:
                # Only the index tells of it, so the digest is of what the index stands for.
                records["crc"][at] = zlib.crc32(self._special(special, n))
                offsets.append(special)
            else:
                pieces.append(chunk)
                offsets.append(offset)
                offset += len(chunk)
        records["offset"] = np.array(offsets, np.uint64)
        if self._room is not None:
            self._room.take(sum(map(len, pieces)))
        self._data.append([payload] if len(pieces) == len(views) else pieces)
        self._record(np.asarray(ids, np.int64), records)

    def _record(self, where: Ids, records: npt.NDArray[np.void]) -> None:
        self._have += len(np.unique(where[self._records["length"][where] == 0]))
        for field in ("offset", "crc", "length"):  # without a length a record does not count
            self._records[field][where] = records[field]
        self._verified[where] = True

    def _special(self, offset: int, n: int) -> bytes:
        return chunks.from_offset(offset, self._shape, self.info.chunk_nbytes(n))

    def retire(self) -> None:
        """Its files have been removed: store nothing more in them, but let readers finish."""
        self._retired = True

    # --- reading ---

    def read(self, ids: Ids) -> list[bytes] | None:
        """Raw chunks, each of them checked once since the start; None if one is not there.

        A chunk whose digest is wrong is forgotten, so that it will be fetched again.
        """
        found = self._read_runs(ids) if len(ids) > 1 else None
        if found is not None:
            return found
        found = []
        for n in ids.tolist():
            chunk = self._read_one(n)
            if chunk is None:
                return None
            found.append(chunk)
        return found

    def _read_runs(self, ids: Ids) -> list[bytes] | None:
        """Small chunks that were checked, those side by side by one call; None for any others."""
        with self._lock:  # no record is repaired meanwhile
            data, records = self._data, self._records[ids]
            checked = bool(self._verified[ids].all())
        offsets, sizes = records["offset"], records["length"].astype(np.int64)
        if data is None or not checked or not sizes.all() or sizes.sum() > RUN_CHUNK * len(ids):
            return None
        if bool((offsets >= _SPECIAL).any()):
            return None
        try:
            return list(data.chunks(offsets.astype(np.int64), sizes))
        except (SourceCorrupt, OSError):
            return None  # reading them one by one tells which

    def read_touched(self, wanted: Touched) -> list[bytes] | None:
        """Chunks in which the wanted blocks have their values; None if one is not there."""
        found: list[bytes] = []
        for n, ids in wanted.items():
            chunk = self._read_one(n) or self._parts.chunk(self._owner, n, ids)
            if chunk is None:
                return None
            found.append(chunk)
        return found

    def _read_one(self, n: int) -> bytes | None:
        offset, length, crc = self._records[n].item()  # in one piece: it may be repaired meanwhile
        if not length or self._data is None:
            return self._overlay.get(self._owner, n)
        try:
            special = offset >= _SPECIAL
            data = self._special(offset, n) if special else self._data.chunk(offset, length)
        except (SourceCorrupt, OSError) as error:
            self._forget(n, str(error))
            return None
        if not self._verified[n]:
            if len(data) != length or zlib.crc32(data) != crc:
                self._forget(n, "its digest is wrong")
                return None
            self._verified[n] = True
        return data

    def block_at_hand(self, n: int, block: int) -> bytearray | None:
        """A chunk of nothing but one block of chunk ``n``, without waiting for a disk.

        None if the block is not in memory, was not checked since the start, or can't be decoded
        without the rest of its chunk.
        """
        data, (offset, length, _) = self._data, self._records[n].item()
        if data is None or not (length and data.tells and self._verified[n]) or offset >= _SPECIAL:
            return None
        try:
            found = self._maps.get(self._owner, offset, lambda: self._map(data, offset, length))
            if found is None:
                return None
            return found.chunk(block, lambda buffer, at: data.pread_cached(buffer, offset + at))
        except (OSError, SourceCorrupt):  # whoever reads all of it is told
            return None

    def _map(self, data: DataFile, offset: int, length: int) -> Map | None:
        count = self.info.chunksize // self.info.blocksize
        start = bytearray(min(length, chunks.HEADER + 4 * count))
        data.pread_cached(start, offset)
        return Map.of(bytes(start[: chunks.HEADER]), lambda size, at: bytes(start[at : at + size]))

    def _forget(self, n: int, why: str) -> None:
        log.warning("%s/%s: chunk %d is fetched anew: %s", self.root, self.info.path, n, why)
        with self._lock:
            self._sealed = None
            self.kept = False
            if self._records["length"][n]:
                self._have -= 1
            self._records["length"][n] = 0

    def verify(self, ids: Ids) -> Ids:
        """Check the chunks that were not checked since the start; those that are not there."""
        for n in ids[~self._verified[ids]].tolist():
            self._read_one(n)
        return self.missing(ids)

    # --- sealing ---

    def seal(self) -> Sealed | None:
        """Make the data file a plain frame, if every chunk is stored.

        Safe to call again; after a chunk was replaced the tail is written anew behind it.

        Raises
        ------
        OSError
            If the tail can't be written.
        """
        with self._lock:
            whole = self._data is not None and bool((self._records["length"] > 0).all())
            if self._sealed is None and whole:
                assert self._data is not None
                self._sealed = self._data.seal(self._tail(), self._template.header)
            return self._sealed

    def _tail(self) -> bytes:
        """What follows the chunks when all are there."""
        return compose.index_and_trailer(self._template, self._records["offset"].copy())

    def whole_in_memory(self) -> bytearray | None:
        """The complete frame where the disk does not take it; None if a chunk is not there."""
        found = self.read(np.arange(len(self._records)))
        return None if found is None else compose.frame(self._template, found)

    def keep(self) -> None:
        """Flush a sealed replica to the disk and give it its final name; once is enough.

        Raises
        ------
        OSError
            If that failed; it still serves, and a later start seals it again.
        """
        if self.kept or self._sealed is None or self._data is None:
            return
        self.kept = True
        self._index.flush()
        self._data.finish()
