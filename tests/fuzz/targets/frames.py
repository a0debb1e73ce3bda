"""Frames in a file: header, trailer, description, chunks and blocks."""

from __future__ import annotations

import contextlib
import os

from caterva2.errors import CodecNotAllowed, SourceCorrupt
from caterva2.frames import attributes
from caterva2.frames.reader import FrameReader
from caterva2.model import Kind
from caterva2.names import DatasetPath

REFUSED = (SourceCorrupt, CodecNotAllowed)
CHUNKS = 100
KINDS: tuple[tuple[str, Kind], ...] = (("a.b2nd", "array"), ("a.b2frame", "frame"))


def one(data: bytes) -> None:
    fd = os.memfd_create("frame")
    os.write(fd, data)
    try:
        reader = FrameReader(fd)
    except REFUSED:
        return
    try:
        for path, kind in KINDS:
            with contextlib.suppress(*REFUSED):
                use(reader, DatasetPath(path), kind)
    finally:
        reader.close()


def use(reader: FrameReader, path: DatasetPath, kind: Kind) -> None:
    """Do all that a publisher does with a frame."""
    info = reader.info(path, kind, "v1", 0.0)
    attributes.check_description(info)
    attributes.forms(info)
    for run in reader.runs(range(min(reader.nchunks, CHUNKS))):
        assert len(run.payload) == sum(run.sizes)
    if reader.nchunks:
        reader.blocks(0, [0])
