"""One version of a dataset in the cache: a data file that grows, and its index.

The data file is a Blosc2 frame in the making: header, then chunks in the order of arrival.
When all are there it is sealed: index and trailer are written behind them and the header is
patched, which makes it a plain frame that anybody can open. The file is only ever appended to,
so whoever reads a chunk or the sealed frame is never disturbed.
"""

from __future__ import annotations

import logging
import os
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from caterva2 import durable
from caterva2.cache.index import RECORD, Index
from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.frames import compose, layout
from caterva2.model import DatasetInfo
from caterva2.names import RootName

log = logging.getLogger(__name__)
PARTIAL = ".part"
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A complete frame: read ``header`` from here and the rest, up to ``size``, from the file."""

    fd: int
    header: bytes
    size: int

    def pread(self, size: int, offset: int) -> bytes:
        """Bytes of the frame; the header in the file may be of a later sealing."""
        size = min(size, self.size - offset)
        if offset >= len(self.header):
            return os.pread(self.fd, size, offset)
        head = self.header[offset : offset + size]
        return head + os.pread(self.fd, size - len(head), offset + len(head))


class Replica:
    """A sparse copy of one version of a dataset; all methods may be called from any thread.

    Parameters
    ----------
    index : Index
    base : Path
        Path of the files without a suffix.
    """

    def __init__(self, index: Index, base: Path) -> None:
        self.info: DatasetInfo = index.info
        self.root: RootName = index.root
        self._index = index
        self._base = base
        self._lock = threading.Lock()
        self._shape = chunks.ChunkShape.of(self.info.typesize, self.info.blocksize)
        self._template = compose.template(self.info)
        self._start = len(self._template.header)
        self._sealed: Sealed | None = None
        self.kept = False
        self._verified = np.zeros(len(index.records), bool)
        self._fd = -1
        try:
            self._open_data()
        except BaseException:
            self.close()
            raise

    def _open_data(self) -> None:
        finished = self.path.exists()
        path = self.path if finished else self._base.with_suffix(PARTIAL)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._end = os.fstat(self._fd).st_size
        if self._end < self._start:
            self._index.records["length"] = 0
            self._write(self._template.header, 0)
            self._end = self._start
        self._drop_torn()
        self._have = int((self._index.records["length"] > 0).sum())
        if self.complete:
            self._reuse_seal() if finished else self.seal()

    def _drop_torn(self) -> None:
        """Forget chunks that the index knows but the data file lost in a crash."""
        records = self._index.records
        stored = (records["length"] > 0) & (records["offset"] < np.uint64(2**63))
        torn = stored & (records["offset"] + records["length"] + self._start > self._end)
        if torn.any():
            log.warning("%s/%s: %d chunks torn", self.root, self.info.path, int(torn.sum()))
            records["length"][torn] = 0

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; only when nobody reads them any more."""
        fd, self._fd = getattr(self, "_fd", -1), -1
        if fd >= 0:
            os.close(fd)
        self._index.close()

    @property
    def path(self) -> Path:
        """Where the sealed file is, or will be."""
        return self._base.with_suffix(".b2nd" if self.info.kind == "array" else ".b2frame")

    # --- what is there ---

    @property
    def complete(self) -> bool:
        """Whether every chunk is there."""
        return self._have == len(self._index.records)

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
        return int(self._index.records["length"].sum(dtype=np.int64))

    @property
    def file(self) -> Path:
        """Where the data file is now."""
        return self.path if self.path.exists() else self._base.with_suffix(PARTIAL)

    @property
    def stored_bytes(self) -> int:
        """Bytes that the data file takes."""
        return self._end

    def missing(self, ids: Ids) -> Ids:
        """Those of some chunks that are not there."""
        absent: npt.NDArray[np.bool_] = self._index.records["length"][ids] == 0
        return ids[absent]

    # --- filling ---

    def check(self, n: int, chunk: memoryview | bytes) -> None:
        """The gate: raise `SourceCorrupt` or `CodecNotAllowed` unless this can be chunk n."""
        if not 0 <= n < len(self._index.records):
            raise SourceCorrupt(f"{self.info.path} has no chunk {n}")
        chunks.check(chunk, self._shape, self.info.chunk_nbytes(n))

    def add(
        self,
        ids: Sequence[int],
        sizes: Sequence[int],
        digests: Sequence[int],
        payload: memoryview | bytes,
    ) -> None:
        """Store raw chunks that passed the gate.

        Parameters
        ----------
        ids, sizes, digests : sequences of int
            Number, bytes and CRC-32 of each chunk.
        payload : bytes-like
            The chunks, one behind the other.

        Raises
        ------
        OSError
            If they can't be written; none of them is there then.
        """
        view = memoryview(payload)
        records = np.empty(len(ids), RECORD)
        records["length"], records["crc"] = sizes, digests
        ends = np.cumsum(np.asarray(sizes, np.uint64))
        with self._lock:
            offset = self._end - self._start
            records["offset"] = ends - np.asarray(sizes, np.uint64) + np.uint64(offset)
            pieces = [view] if min(sizes) > chunks.HEADER else self._without_specials(records, view)
            self._write_pieces(pieces, self._end)
            self._end += sum(map(len, pieces))
            where = np.asarray(ids)
            self._have += int((self._index.records["length"][where] == 0).sum())
            # The length goes last: a record without it does not count.
            for field in ("offset", "crc", "length"):
                self._index.records[field][where] = records[field]
            self._verified[where] = True

    def _without_specials(
        self, records: npt.NDArray[np.void], view: memoryview
    ) -> list[memoryview]:
        """What to write where some chunks are bare headers, which only the index tells."""
        pieces, at = [], 0
        offset = self._end - self._start
        for record in records:
            size = int(record["length"])
            piece = view[at : at + size]
            at += size
            special = chunks.special_offset(piece)
            record["offset"] = special or offset
            if not special:
                pieces.append(piece)
                offset += size
        return pieces

    def _write_pieces(self, pieces: list[memoryview], offset: int) -> None:
        for piece in pieces:
            self._write(piece, offset)
            offset += len(piece)

    def _write(self, data: bytes | memoryview, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view = view[written:]
            offset += written

    # --- reading ---

    def read(self, ids: Ids) -> list[bytes] | None:
        """Raw chunks, each of them checked once since the start; None if one is not there.

        A chunk whose digest is wrong is forgotten, so that it will be fetched again.
        """
        found: list[bytes] = []
        for n in ids.tolist():
            chunk = self._read_one(n)
            if chunk is None:
                return None
            found.append(chunk)
        return found

    def _read_one(self, n: int) -> bytes | None:
        record = self._index.records[n]
        offset, length = int(record["offset"]), int(record["length"])
        if not length:
            return None
        if offset >= 2**63:
            return chunks.from_offset(offset, self._shape, self.info.chunk_nbytes(n))
        data = os.pread(self._fd, length, self._start + offset)
        if not self._verified[n]:
            if len(data) != length or zlib.crc32(data) != int(record["crc"]):
                self._forget(n)
                return None
            self._verified[n] = True
        return data

    def _forget(self, n: int) -> None:
        log.warning("%s/%s: chunk %d is damaged in the cache", self.root, self.info.path, n)
        with self._lock:
            self._sealed = None
            self.kept = False
            if self._index.records["length"][n]:
                self._have -= 1
            self._index.records["length"][n] = 0

    def verify(self, ids: Ids) -> Ids:
        """Check the chunks that were not checked since the start; those that are not there."""
        for n in ids[~self._verified[ids]].tolist():
            self._read_one(n)
        return self.missing(ids)

    # --- sealing ---

    def seal(self) -> Sealed | None:
        """Make the data file a plain frame, if every chunk is there.

        Safe to call again; after a chunk was replaced the tail is written anew behind it.
        """
        with self._lock:
            if self._sealed is None and self.complete:
                offsets = self._index.records["offset"].copy()
                tail = compose.index_and_trailer(self._template, offsets)
                cbytes, size = self._end - self._start, self._end + len(tail)
                header = layout.patched_header(self._template.header, size, cbytes)
                self._write(tail, self._end)
                self._write(header, 0)
                self._end = size
                self._sealed = Sealed(self._fd, header, size)
            return self._sealed

    def _reuse_seal(self) -> None:
        """Take the tail that an earlier run wrote."""
        header = os.pread(self._fd, self._start, 0)
        try:
            known = layout.parse_header(header)
        except SourceCorrupt:
            self.seal()
            return
        if known.frame_length == self._end:
            self._sealed = Sealed(self._fd, header, self._end)
            self.kept = True
        else:
            self.seal()

    def keep(self) -> None:
        """Flush a sealed replica to the disk and give it its final name; once is enough.

        Raises
        ------
        OSError
            If that failed; it still serves, and a later start seals it again.
        """
        if self.kept or self._sealed is None:
            return
        self.kept = True
        os.fsync(self._fd)
        self._index.flush()
        partial = self._base.with_suffix(PARTIAL)
        if partial.exists():
            os.replace(partial, self.path)
            durable.sync_directory(self._base.parent)
