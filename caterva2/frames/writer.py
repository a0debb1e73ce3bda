"""A frame written to a file, chunk after chunk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import numpy as np

from caterva2.errors import SourceCorrupt
from caterva2.frames import compose, layout
from caterva2.frames.chunk import special_offset
from caterva2.model import DatasetInfo
from caterva2.runtime.durable import CLOSED_IN_CHILDREN, pwrite


class FrameWriter:
    """A new frame, of which no more than a chunk is in memory at a time.

    Parameters
    ----------
    path : Path
        Of the file, which must not exist.
    info : DatasetInfo
        The dataset that it becomes.
    """

    def __init__(self, path: Path, info: DatasetInfo) -> None:
        self._template = compose.template(info)
        self._offsets = np.zeros(info.nchunks, np.uint64)
        self._count, self._nbytes = 0, 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOSED_IN_CHILDREN, 0o666)

    def add(self, chunk: bytes | memoryview) -> None:
        """Write the next chunk."""
        offset = special_offset(chunk)
        self._offsets[self._count] = offset or self._nbytes
        self._count += 1
        if not offset:
            pwrite(self._fd, chunk, len(self._template.header) + self._nbytes)
            self._nbytes += len(chunk)

    def finish(self) -> None:
        """Write what goes around the chunks, and flush it to the disk.

        Raises
        ------
        SourceCorrupt
            If chunks are missing.
        """
        if self._count != len(self._offsets):
            raise SourceCorrupt(f"{self._count} of {len(self._offsets)} chunks came")
        header = self._template.header
        tail = compose.index_and_trailer(self._template, self._offsets)
        end = pwrite(self._fd, tail, len(header) + self._nbytes)
        pwrite(self._fd, layout.patched_header(header, end, self._nbytes), 0)
        os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
