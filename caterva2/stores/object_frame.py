"""A frame in an object that is read by ranges."""

from __future__ import annotations

from collections.abc import Callable

from caterva2.errors import SourceCorrupt
from caterva2.frames.reader import FrameReader
from caterva2.limits.constants import KIB

EDGE = 64 * KIB
"""Bytes of the head and of the tail that are read first: mostly header, index and trailer."""
Read = Callable[[int, int], bytes]
"""Returns the bytes of an object from a start to a stop."""


class ObjectFrame(FrameReader):
    """A frame whose bytes come from elsewhere.

    Parameters
    ----------
    read : callable
        Raises if the object is not the version that the first call met.
    size : int
        Bytes of the object.
    """

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self._head = read(0, min(size, EDGE))
        self._tail_at = max(len(self._head), size - EDGE)
        self._tail = read(self._tail_at, size) if self._tail_at < size else b""
        super().__init__(-1)

    def _file_size(self) -> int:
        return self._size

    def _pread(self, size: int, offset: int) -> bytes:
        stop = offset + size
        if stop > self._size or size < 0:
            raise SourceCorrupt(f"the object ends at {self._size}, {stop} expected")
        if stop <= len(self._head):
            return self._head[offset:stop]
        if offset >= self._tail_at:
            return self._tail[offset - self._tail_at : stop - self._tail_at]
        return self._read(offset, stop)
