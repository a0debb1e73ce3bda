"""Blosc2 frames as HDF5 chunks: each holds one raw chunk, which is extracted unchanged."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from caterva2.errors import CodecNotAllowed, SourceCorrupt
from caterva2.frames import chunk as chunks
from caterva2.frames import packing
from caterva2.frames.enclosed import mask_of
from caterva2.frames.reader import FrameReader
from caterva2.model import CParams
from caterva2.names import DatasetPath
from caterva2.runtime import durable

MAX_PADDING = 16
"""Ratio of whole blocks to the chunk in them: padding may double each of four dimensions."""
_ANY = DatasetPath("chunk.b2nd")


@dataclass(frozen=True, slots=True)
class Form:
    """The properties that all frames of a dataset's chunks share.

    ``mask`` is their header without the two sizes that differ from chunk to chunk.
    """

    blocks: tuple[int, ...]
    cparams: CParams
    mask: bytes


def form(frame: bytes, grid: tuple[int, ...], itemsize: int) -> Form | None:
    """Return the form of a frame if its chunk can be a chunk of an array; None otherwise.

    Parameters
    ----------
    frame : bytes
        The stored bytes of one HDF5 chunk.
    grid : tuple of int
        Shape of the dataset's chunks.
    itemsize : int
    """
    try:
        reader = reader_of(frame)
        header = reader.header
        chunks.check_cparams(header.cparams)
        if reader.nchunks != 1 or header.cbytes < chunks.HEADER:
            return None  # a special chunk, of zeros say, has no blocks
        if header.metalayers:
            info = reader.info(_ANY, "array", "form", 0.0)
            if info.shape != grid or info.chunks != grid:
                return None
            return Form(info.blocks, header.cparams, mask_of(frame[: header.length]))
        (blocksize,) = struct.unpack_from("<i", frame, header.length + 8)
    except (SourceCorrupt, CodecNotAllowed, struct.error):
        return None
    blocks = packing.rows(grid, itemsize, blocksize)
    if blocks is None:
        return None
    return Form(blocks, header.cparams, mask_of(frame[: header.length]))


def gate(frame: bytes, nbytes: int) -> None:
    """Check a frame before it is decoded.

    Parameters
    ----------
    frame : bytes
    nbytes : int
        Bytes that the chunk decompresses to, without padding.

    Raises
    ------
    SourceCorrupt, CodecNotAllowed
        If it is not a frame of one valid chunk of about that size.
    """
    reader = reader_of(frame)
    max_size = MAX_PADDING * nbytes + chunks.MOST_OVERHEAD
    if reader.nchunks != 1 or not nbytes <= reader.header.chunksize <= max_size:
        raise SourceCorrupt(f"an HDF5 chunk of {nbytes} bytes holds another Blosc2 frame")
    for _ in reader.runs([0]):
        pass


def reader_of(frame: bytes) -> FrameReader:
    """Return a reader of a frame in memory."""
    fd = durable.unnamed("caterva2")
    try:
        os.write(fd, frame)
    except BaseException:
        os.close(fd)
        raise
    return FrameReader(fd)
