"""Reader of raw chunks of a frame on disk, by `os.pread` instead of the Blosc2 library.

A frame's index is parsed once, for its first chunk; after that chunk ``n`` is one read at a
known place, and runs of neighbours are one read together.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator, Sequence

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.arrays import dtypes
from caterva2.errors import NotFound, SourceCorrupt
from caterva2.frames import b2nd, blocks, compose, layout, metadata
from caterva2.frames import chunk as chunks
from caterva2.frames.raw import Cut, Edges, Run
from caterva2.limits import DEFAULTS, constants
from caterva2.model import CParams, DatasetInfo, Kind, Path
from caterva2.runtime.durable import pread

CLOSED = -1
"""The descriptor of no file: edges with header and trailer are enough for a description."""


class FrameReader:
    """A frame on disk, open for reading raw chunks.

    Parameters
    ----------
    fd : int
        Open file, which the reader closes, or `CLOSED`.
    edges : Edges, optional
        What was read of the file already.

    Raises
    ------
    SourceCorrupt
        If the file is not a frame that can be served, or does not contain its data.
    """

    def __init__(self, fd: int, edges: Edges | None = None) -> None:
        self._fd = fd
        self._edges = edges
        try:
            self.header = self._read_header()
            metadata.check_stored(self.header.metalayers)
            self._trailer = self._read_trailer()
        except BaseException:
            self.close()
            raise
        self._edges = None  # they are read once, and there may be many readers
        kind: Kind = "array" if "b2nd" in self.header.metalayers else "frame"
        self.shape = chunks.ChunkShape.of(kind, self.header.typesize, self.header.blocksize)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, CLOSED
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    @property
    def fd(self) -> int:
        return self._fd

    @property
    def nchunks(self) -> int:
        header = self.header
        return -(-header.nbytes // header.chunksize) if header.nbytes else 0

    def _file_size(self) -> int:
        return self._edges.size if self._edges else os.fstat(self._fd).st_size

    def _pread(self, size: int, offset: int) -> bytes:
        known = self._edges.cut(size, offset) if self._edges else None
        data = pread(self._fd, size, offset) if known is None else known
        if len(data) != size:
            raise SourceCorrupt(f"file ends at {offset + len(data)}, {offset + size} expected")
        return data

    def _read_header(self) -> layout.FrameHeader:
        size = self._file_size()
        length = layout.header_length(self._pread(min(size, layout.HEADER_MIN), 0))
        header = layout.parse_header(self._pread(length, 0))
        if header.frame_length > size:
            raise SourceCorrupt(f"frame of {header.frame_length} bytes in a shorter file")
        return header

    def _read_trailer(self) -> bytes:
        end = self.header.frame_length
        room = end - self.header.length - self.header.cbytes
        if room < layout.TRAILER_TAIL:
            raise SourceCorrupt("frame without room for a trailer")
        tail = self._pread(layout.TRAILER_TAIL, end - layout.TRAILER_TAIL)
        length = layout.trailer_length(tail, room)
        return self._pread(length, end - length)

    @functools.cached_property
    def _index(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Offsets of the chunks behind the header, and the end of the room of each one.

        It is read with the first chunk: a description of the frame does not need it.
        """
        offsets = self._stored_index()
        plain = offsets >= 0
        if (offsets[plain] > self.header.cbytes - chunks.HEADER).any():
            raise SourceCorrupt("frame index points behind the chunks")
        edges = np.append(np.unique(offsets[plain]), self.header.cbytes)
        ends = edges[np.searchsorted(edges, offsets, side="right").clip(0, len(edges) - 1)]
        return offsets, np.minimum(ends, offsets + self._largest)

    def _stored_index(self) -> npt.NDArray[np.int64]:
        if not self.nchunks:
            return np.zeros(0, np.int64)
        header = self.header
        start = header.length + header.cbytes
        size = header.frame_length - len(self._trailer) - start
        if size > 8 * self.nchunks + chunks.MOST_OVERHEAD:
            raise SourceCorrupt(f"frame index of {size} bytes for {self.nchunks} chunks")
        packed = self._pread(size, start)
        return np.frombuffer(_decompress_index(packed, self.nchunks), dtype="<i8")

    @property
    def _largest(self) -> int:
        """The bytes that a stored chunk can have."""
        return self.header.chunksize + chunks.MOST_OVERHEAD

    def vlmeta(self) -> dict[str, bytes]:
        """Return the variable-length metadata, decompressed, each value still in msgpack."""
        if not self.header.has_vlmeta:
            return {}
        return {name: _small(raw) for name, raw in layout.parse_trailer(self._trailer).items()}

    @property
    def needs_plugins(self) -> bool:
        """Whether it is an array that only plugins decode: its chunks are to be converted."""
        return "b2nd" in self.header.metalayers and chunks.needs_plugins(self.header.cparams)

    def info(
        self, path: Path, kind: Kind, etag: str, mtime: float, converted: CParams | None = None
    ) -> DatasetInfo:
        """Describe the frame as a dataset; ``converted`` is how its chunks are packed instead."""
        header, typesize = self.header, self.header.typesize
        cparams = converted or header.cparams
        chunks.check_cparams(cparams)
        if kind == "array":
            shape, grid, blocks, dtype = b2nd.parse(header.metalayers.get("b2nd"))
            itemsize = dtypes.parse(dtype).itemsize
            if typesize != itemsize and not (typesize == 1 and itemsize > 255):
                raise SourceCorrupt(f"items of {typesize} bytes can't be {dtype[:80]!r}")
            typesize = itemsize
        else:
            shape, grid, blocks = (header.nbytes,), (header.chunksize,), (header.blocksize,)
            dtype = ""
        layers, left_out = metadata.sorted_out(header.metalayers)
        metadata.tell_left_out(path, etag, left_out)
        info = _validated(
            path=path, etag=etag, mtime=mtime, kind=kind, shape=shape, chunks=grid,
            blocks=blocks, dtype=dtype, typesize=typesize, chunksize=header.chunksize,
            blocksize=header.blocksize, nbytes=header.nbytes, cbytes=header.cbytes,
            cparams=cparams, vlmeta=self.vlmeta(), attrs={},
            metalayers=layers,
        )  # fmt: skip
        if info.nchunks != self.nchunks:
            raise SourceCorrupt(f"its shape needs {info.nchunks} chunks, {self.nchunks} are there")
        return info

    def is_as_composed(self, info: DatasetInfo) -> bool:
        """Return whether header and trailer are byte for byte those that `compose` would make.

        The Blosc2 library can read such a frame only as this reader does.
        """
        try:
            parts = compose.template(info)
        except (RuntimeError, ValueError):
            return False
        header = layout.patched_header(parts.header, self.header.frame_length, self.header.cbytes)
        stored = bytearray(self._pread(self.header.length, 0))
        for at in layout.THREADS_AT:
            stored[at : at + 2] = header[at : at + 2]
        return stored == header and self._trailer == parts.trailer

    def chunk_nbytes(self, n: int) -> int:
        return min(self.header.chunksize, self.header.nbytes - n * self.header.chunksize)

    def runs(
        self, ids: Sequence[int], max_bytes: int = DEFAULTS.publisher.reply_bytes
    ) -> Iterator[Run]:
        """Read raw chunks in the given order, in payloads of about ``max_bytes`` bytes.

        Raises
        ------
        NotFound
            If a number is not one of the dataset's chunks.
        SourceCorrupt, CodecNotAllowed
            If a chunk does not pass the gate.
        """
        batch: list[int] = []
        room = 0
        for n in ids:
            if not 0 <= n < self.nchunks:
                raise NotFound(f"chunk {n} of {self.nchunks} does not exist")
            size = self._room(n)
            if batch and room + size > max_bytes:
                yield self._run(batch)
                batch, room = [], 0
            batch.append(n)
            room += size
        if batch:
            yield self._run(batch)

    def blocks(self, n: int, ids: Sequence[int]) -> Cut:
        """Read some blocks of a raw chunk, or the whole chunk if it can't be divided.

        Raises
        ------
        NotFound
            If a number is not one of the dataset's chunks, or of the chunk's blocks.
        SourceCorrupt, CodecNotAllowed
            If the chunk does not pass the gate.
        """
        if 0 <= n < self.nchunks and self._room(n) > chunks.HEADER:
            at = self.header.length + int(self._index[0][n])
            header = self._pread(chunks.HEADER, at)
            stored = chunks.stored_size(header)
            if stored <= self._room(n) and not chunks.is_uninit(header):
                chunks.check_header(header, self.shape, self.chunk_nbytes(n), stored)
                found = blocks.cut(header, lambda size, start: self._pread(size, at + start), ids)
                if found is not None:
                    return found
        return Cut((), (), next(self.runs([n])).payload)

    def stored(self, n: int) -> tuple[bytes, bytes]:
        """Return the header of the frame and a stored chunk, which need not pass the gate.

        Raises
        ------
        NotFound, SourceCorrupt
        """
        if not 0 <= n < self.nchunks:
            raise NotFound(f"chunk {n} of {self.nchunks} does not exist")
        room, offset, header = self._room(n), int(self._index[0][n]), self.header.length
        if offset < 0:
            chunk = chunks.from_offset(offset, self.shape, self.chunk_nbytes(n))
        else:
            chunk = self._pread(room, header + offset)
        size = chunks.stored_size(chunk) if len(chunk) >= chunks.HEADER else 0
        if not chunks.HEADER <= size <= len(chunk):
            raise SourceCorrupt(f"chunk {n} claims {size} bytes where {len(chunk)} are")
        return self._pread(header, 0), chunk[:size]

    def _room(self, n: int) -> int:
        """Return the largest size that chunk ``n`` can have."""
        offsets, ends = self._index
        offset = int(offsets[n])
        return chunks.HEADER if offset < 0 else int(ends[n]) - offset

    def _run(self, ids: list[int]) -> Run:
        return Run.of(ids, list(self._pieces(ids)))

    def _pieces(self, ids: list[int]) -> Iterator[bytes | memoryview]:
        offsets, ends = self._index
        at = 0
        while at < len(ids):
            n = ids[at]
            if offsets[n] < 0:
                offset = int(offsets[n])
                yield chunks.from_offset(offset, self.shape, self.chunk_nbytes(n))
                at += 1
                continue
            stop = at + 1
            while stop < len(ids) and offsets[ids[stop]] == ends[ids[stop - 1]]:
                stop += 1
            yield from self._neighbours(ids[at:stop])
            at = stop

    def _neighbours(self, ids: list[int]) -> Iterator[bytes | memoryview]:
        """Read chunks that are adjacent in the file at once."""
        offsets, ends = self._index
        start = int(offsets[ids[0]])
        data = memoryview(self._pread(int(ends[ids[-1]]) - start, self.header.length + start))
        for n in ids:
            begin = int(offsets[n]) - start
            room = data[begin : int(ends[n]) - start]
            size = chunks.stored_size(room) if len(room) >= chunks.HEADER else 0
            if not chunks.HEADER <= size <= len(room):
                raise SourceCorrupt(f"chunk {n} claims {size} bytes where {len(room)} are")
            piece = room[:size]
            if chunks.is_uninit(piece):
                yield chunks.from_offset(layout.MISSING, self.shape, self.chunk_nbytes(n))
                continue
            chunks.check(piece, self.shape, self.chunk_nbytes(n))
            yield piece


def _decompress_index(packed: bytes, count: int) -> bytes:
    if len(packed) < chunks.HEADER:
        raise SourceCorrupt("frame without an index")
    size = chunks.stored_size(packed)
    if not chunks.HEADER <= size <= len(packed):
        raise SourceCorrupt(f"frame index claims {size} bytes where {len(packed)} are")
    return _decompressed(packed[:size], 8 * count, "index")


def _small(packed: bytes) -> bytes:
    """Decompress a vlmeta value: one chunk, with its size in its header."""
    if len(packed) < chunks.HEADER:
        raise SourceCorrupt("a vlmeta value is cut off")
    (nbytes,) = struct.unpack_from("<i", packed, 4)
    if not 0 <= nbytes <= constants.VLMETA_BYTES:
        raise SourceCorrupt(f"a vlmeta value claims {nbytes} bytes")
    return _decompressed(packed, nbytes, "vlmeta")


def _decompressed(packed: bytes, nbytes: int, what: str) -> bytes:
    size, cbytes, blocksize = blosc2.get_cbuffer_sizes(packed)
    if size != nbytes or cbytes != len(packed):
        raise SourceCorrupt(f"frame {what} claims {size} bytes where {nbytes} are")
    if nbytes == 0:
        return b""
    chunks.check(packed, chunks.ChunkShape(packed[3], blocksize), nbytes)
    try:
        data: bytes = blosc2.decompress2(packed, nthreads=1)
    except (RuntimeError, ValueError) as error:
        raise SourceCorrupt(f"frame {what} can't be decompressed: {error}") from None
    return data


def _validated(**fields: object) -> DatasetInfo:
    try:
        return DatasetInfo.model_validate(fields)
    except ValueError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise SourceCorrupt(f"its description makes no sense: {reason}") from None
