"""A sparse frame, read as if its chunks lay one after the other between header and index."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from caterva2.errors import SourceCorrupt
from caterva2.formats.blosc2_trees import SPARSE
from caterva2.frames import layout
from caterva2.frames.reader import FrameReader
from caterva2.stores.sparse.files import Files, Numbers, name_of

Read = Callable[[str, int, int], bytes]
"""Returns bytes of a file of the listed version, from a start to a stop."""

SHOWN = 3
"""Names of files that are missing, for the log."""


class SparseFrame(FrameReader):
    """A version of a sparse frame.

    Its index has the numbers of files in place of offsets.

    Parameters
    ----------
    files : Files
    read : callable
        Raises if a file is not the listed one any more.
    """

    def __init__(self, files: Files, read: Read) -> None:
        self._files = files
        self._read = read
        self._ends = np.cumsum(files.sizes)
        self._chunk_bytes = int(self._ends[-1]) if len(self._ends) else 0
        super().__init__(-1)

    def _read_header(self) -> layout.FrameHeader:
        size = self._files.main.size
        length = layout.header_length(self._read(SPARSE, 0, min(size, layout.HEADER_MIN)))
        if length > size:
            raise SourceCorrupt(f"{SPARSE} is shorter than its header")
        header = layout.parse_header(self._read(SPARSE, 0, length), self._chunk_bytes)
        if header.frame_length - self._chunk_bytes > size:
            raise SourceCorrupt(f"{SPARSE} is shorter than the frame in it")
        self._head = header.length
        return header

    def _pread(self, size: int, offset: int) -> bytes:
        """Return bytes of the frame, of which each part lies in one file or some neighbours."""
        at = offset - self._head
        if at < 0 or at >= self._chunk_bytes:
            start = offset - (self._chunk_bytes if at >= 0 else 0)
            return self._read(SPARSE, start, start + size)
        pieces = []
        while size > 0:
            n = int(np.searchsorted(self._ends, at, side="right"))
            if n >= len(self._ends):
                raise SourceCorrupt("a chunk ends behind its file")
            begin = int(self._ends[n] - self._files.sizes[n])
            stop = min(at + size, int(self._ends[n]))
            pieces.append(
                self._read(name_of(int(self._files.numbers[n])), at - begin, stop - begin)
            )
            size, at = size - (stop - at), stop
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @functools.cached_property
    def _numbers(self) -> Numbers:
        """The numbers of the chunks' files, negative ones for special chunks."""
        return self._stored_index().astype(np.int64)

    @functools.cached_property
    def _index(self) -> tuple[Numbers, Numbers]:
        files, numbers = self._files, self._numbers
        if not len(files.numbers):
            return np.minimum(numbers, 0), np.zeros_like(numbers)
        at = np.searchsorted(files.numbers, numbers).clip(0, len(files.numbers) - 1)
        starts = np.where(numbers < 0, numbers, self._ends[at] - files.sizes[at])
        ends = starts + np.minimum(files.sizes[at], self._largest)
        return starts, np.where(self._has_file(numbers), ends, starts)

    def _has_file(self, numbers: Numbers) -> npt.NDArray[np.bool_]:
        return np.isin(numbers, self._files.numbers)

    def missing(self) -> list[str]:
        """Return the names of files that chunks have, and that are not there; the first ones."""
        numbers = self._numbers
        lost = numbers[(numbers >= 0) & ~self._has_file(numbers)]
        return [name_of(int(number)) for number in lost[:SHOWN]]

    def stored(self, n: int) -> tuple[bytes, bytes]:
        header, chunk = super().stored(n)
        return layout.contiguous(header), chunk

    def _room(self, n: int) -> int:
        number = int(self._numbers[n])
        if number >= 0 and not self._has_file(self._numbers[n : n + 1])[0]:
            raise SourceCorrupt(f"chunk {n} has no file {name_of(number)}")
        return super()._room(n)
