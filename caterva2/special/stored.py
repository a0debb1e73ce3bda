"""A dataset of a space, to be read: its chunks come right out of the file."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caterva2 import limits
from caterva2.arrays.fields import Values
from caterva2.arrays.selection import Selection, split
from caterva2.cache.readable import Ids
from caterva2.cache.touched_blocks import Touched
from caterva2.frames.reader import FrameReader
from caterva2.frames.sealed import Sealed
from caterva2.frames.writer import FrameWriter
from caterva2.model import DatasetInfo
from caterva2.names import DatasetPath
from caterva2.reading import slices
from caterva2.sources.directory.source import DirectorySource
from caterva2.special.files import one_by_one
from caterva2.special.incoming import Incoming

LAYOUT = "0"
"""A file's chunks lie in one order only, as long as it is one version."""


@dataclass(frozen=True, slots=True)
class StoredExpression:
    """A file that is named as an array, and tells what this is computed of."""

    path: DatasetPath
    etag: str
    mtime: float
    body: bytes


class StoredDataset:
    """One version of a dataset; everything here blocks, but for what is known already.

    Of a frame that somebody uploaded chunks are taken out one by one, through the gate. The
    Blosc2 library opens it only if it is what we would have written ourselves.

    Parameters
    ----------
    source : DirectorySource
    info : DatasetInfo
    reader : FrameReader or None
        Of the frame; None for a plain file.
    """

    sealed: Sealed | None = None
    file: Path | None = None
    trusted = False
    """Whether the file still is that version is looked at each time."""

    def __init__(
        self, source: DirectorySource, info: DatasetInfo, reader: FrameReader | None
    ) -> None:
        self.info = info
        self.etag = info.etag
        self._source = source
        self._verified = np.zeros(info.nchunks, bool)
        self.stored: Sealed | None = None
        if reader is not None:
            self.stored = Sealed(reader, b"", reader.header.frame_length, LAYOUT)
            if info.kind == "array" and reader.is_as_composed(info):
                self.sealed = self.stored
                # By its name it could be the next version already.
                self.file = Path(f"/proc/self/fd/{reader.fd}")

    @classmethod
    def open(cls, source: DirectorySource, path: DatasetPath) -> StoredDataset:
        """The current version of a dataset.

        Raises
        ------
        NotFound, StaleVersion, SourceCorrupt
        """
        info = source.info(path)
        if info.kind == "file":
            return cls(source, info, None)
        return cls(source, info, source.frame(path, info.etag))

    def read(self, ids: Ids) -> list[bytes]:
        """Raw chunks.

        Raises
        ------
        StaleVersion
            If the file is not that version any more.
        """
        if self.info.kind == "file":
            return [self._packed(n) for n in ids.tolist()]
        runs = self._source.chunks(self.info.path, self.info.etag, ids.tolist())
        return list(one_by_one(runs))

    def read_touched(self, wanted: Touched) -> None:
        """No chunk is there in part."""

    def missing(self, ids: Ids) -> Ids:
        return ids[:0]

    def verify(self, ids: Ids) -> Ids:
        """Let the chunks through the gate that were not yet; none is ever missing."""
        for n in ids[~self._verified[ids]].tolist():
            self.read(np.array([n]))
            self._verified[n] = True
        self._source.check(self.info.path, self.info.etag)
        return ids[:0]

    def _packed(self, n: int) -> bytes:
        start = n * self.info.chunksize
        data = self._bytes(start, start + self.info.chunk_nbytes(n))
        return slices.pack_file_chunk(self.info, data)

    def _bytes(self, start: int, stop: int) -> bytes:
        info = self.info
        return b"".join(self._source.read_bytes(info.path, info.etag, start, stop))

    def file_values(self, wanted: Selection) -> Values:
        """Bytes of a plain file, which need not be packed to be read."""
        result = np.empty(wanted.result_shape, np.uint8)
        most = limits.DECODE_STEP // self.info.chunksize
        for part, where in split(wanted, self.info.chunks, most):
            axis = part.axes[0]
            if isinstance(axis, int):
                result[where] = self._bytes(axis, axis + 1)[0]
            elif len(axis):
                low, high = min(axis[0], axis[-1]), max(axis[0], axis[-1])
                data = np.frombuffer(self._bytes(low, high + 1), np.uint8)
                result[where] = data[np.arange(axis[0], axis[-1] + axis.step, axis.step) - low]
        return result

    def whole(self, room: Incoming) -> Sealed:
        """The stored frame, or one of a plain file that is made for a while."""
        if self.stored is not None:
            self._source.check(self.info.path, self.info.etag)
            return self.stored
        with room.file() as staged:
            with FrameWriter(staged.path, self.info) as frame:
                for n in range(self.info.nchunks):
                    frame.add(self._packed(n))
                frame.finish()
            return opened(staged.path)


def opened(path: Path) -> Sealed:
    """A frame that was written, to be read for as long as anybody holds it, without its name."""
    made = _Unnamed(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    size = os.fstat(made.fd).st_size
    tail = os.pread(made.fd, 2**16, max(0, size - 2**16))
    return Sealed(made, b"", size, f"{zlib.crc32(tail):08x}")


class _Unnamed:
    """A file without a name, whose room is free again when nobody holds this."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)
