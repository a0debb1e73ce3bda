"""A complete replica as a worker sees it: blocks of its files, which the core may go on to change.

Data files only grow, and what is open stays readable when it is renamed or removed. So a chunk that
was verified once stays where it is, and is read there from then on, without the index.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

from caterva2.cache import succession
from caterva2.cache.chunk_table import CANDIDATE, SPECIAL
from caterva2.cache.datafile import pread_cached
from caterva2.cache.index import RECORD, Index
from caterva2.errors import SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.frames import layout
from caterva2.frames.blocks import Map
from caterva2.frames.raw import crc32
from caterva2.names import RootName
from caterva2.runtime.lru import Lru

_RECORD = struct.Struct("<QII")
Place = tuple[str, str]
"""The path of a replica's files, without a suffix, and its etag."""


class ReadReplica:
    """Blocks of the chunks of one version, for the event loop of a worker.

    Parameters
    ----------
    base : Path
        Of its files, without a suffix.
    root : RootName
    etag : str
    max_maps : int
        Chunks of which it is kept where their blocks are.

    Raises
    ------
    SourceCorrupt, OSError
        If its files are not those of this version.
    """

    def __init__(self, base: Path, root: RootName, etag: str, max_maps: int) -> None:
        self._index = self._data = -1
        self.place: Place = str(base), etag
        path = base.with_suffix(".index")
        try:
            self._index = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            found, self.info, self._records = Index.places(self._index, path)
            if (found, self.info.etag) != (root, etag):
                raise SourceCorrupt(f"{path} is of another version")
            file = succession.data_file(base)
            if file is None:
                raise SourceCorrupt(f"{base} has no data")
            self._data = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            self._start = layout.header_length(os.pread(self._data, layout.HEADER_MIN, 0))
        except BaseException:
            self.close()
            raise
        self._known: Lru[int, tuple[int, Map]] = Lru(max_maps)
        self.unread: tuple[int, int] | None = None
        """Chunk and block that the last read lacked, for `warm`."""

    def __del__(self) -> None:
        self.close()

    @property
    def is_removed(self) -> bool:
        """Whether its data file has no name any more: it takes room until it is closed."""
        return not os.fstat(self._data).st_nlink

    def close(self) -> None:
        """Close the files."""
        for descriptor in (self._index, self._data):
            if descriptor >= 0:
                os.close(descriptor)
        self._index = self._data = -1

    def try_block(self, n: int, block: int) -> bytearray | None:
        """Read a chunk of nothing but one block of chunk ``n``, without waiting for a disk."""
        known = self._known.get(n)
        if known is not None:
            at, places = known
            try:
                return places.chunk(
                    block, lambda buffer, offset: pread_cached(self._data, buffer, at + offset)
                )
            except OSError as error:
                if error.errno == errno.EOPNOTSUPP:
                    return None  # the file system can't say what is in memory: that is the core's
        self.unread = n, block
        return None

    def warm(self, n: int, block: int) -> bool:
        """Verify a chunk, and bring a block of it into memory; return whether that is done. Blocks.

        Runs in a thread, one at a time.
        """
        try:
            known = self._known.get(n) or self._verified(n)
            if known is None:
                return False
            at, places = known
            places.chunk(block, lambda buffer, offset: self._read(buffer, at + offset))
        except (OSError, SourceCorrupt, struct.error):
            return False
        return True

    def _verified(self, n: int) -> tuple[int, Map] | None:
        """Find a chunk whose digest is right, and its blocks; None if the core has to read it."""
        packed = os.pread(self._index, RECORD.itemsize, self._records + n * RECORD.itemsize)
        offset, length, crc = _RECORD.unpack(packed)
        if not 0 < length < CANDIDATE or offset >= SPECIAL:
            return None
        at = self._start + offset
        chunk = os.pread(self._data, length, at)
        if len(chunk) != length or crc32(chunk) != crc:
            return None
        places = Map.of(chunk[: chunks.HEADER], lambda size, where: chunk[where : where + size])
        if places is None:
            return None
        self._known.put(n, (at, places))
        return at, places

    def _read(self, buffer: memoryview, at: int) -> None:
        if os.preadv(self._data, (buffer,), at) < len(buffer):
            raise OSError("the file is shorter than it was")
