"""The superblock of an HDF5 file, read without the HDF5 library.

It says whether a file is HDF5 at all, and whether a SWMR writer has it open. The library would
believe it if it is asked to read as SWMR: it reads what does not look right again and again, with
growing pauses, which makes no sense for a file without a writer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FIRST = 512
"""The first offset after 0 at which a superblock may lie; each next one is twice as far."""
LAST = 2**40
FLAGS_AT = {2: 11, 3: 11}
"""Where the consistency flags are, by the versions of superblocks that have them."""
WIDTH_AT = 9
"""Where these say how many bytes an address takes."""
ADDRESSES_AT = 12
"""Where their addresses begin; the third one is the end of the file."""
HEAD = ADDRESSES_AT + 3 * 8
WRITTEN, SWMR = 1, 4
"""The flags: open for writing, and by a SWMR writer."""
SWMR_VERSION = 3


@dataclass(frozen=True, slots=True)
class Superblock:
    """The fields of a superblock that can be read without following its addresses."""

    version: int
    flags: int
    end: int = 0
    """Least size of the file, 0 where that is not read."""

    @property
    def has_swmr_writer(self) -> bool:
        """Whether a SWMR writer has the file open, or was killed while it had."""
        return self.version >= SWMR_VERSION and self.flags & (WRITTEN | SWMR) == WRITTEN | SWMR


def read(fd: int) -> Superblock | None:
    """Return the superblock of an open file, or None if it has none.

    Parameters
    ----------
    fd : int
        A descriptor of a regular file.
    """
    size, at = os.fstat(fd).st_size, 0
    while at < min(size, LAST):
        head = os.pread(fd, HEAD, at)
        if head[:8] == SIGNATURE and len(head) > 8:
            where = FLAGS_AT.get(head[8])
            if where is None or len(head) <= where:
                return Superblock(head[8], 0)
            return Superblock(head[8], head[where], _end(head))
        at = 2 * at or FIRST
    return None


def _end(head: bytes) -> int:
    width = head[WIDTH_AT]
    start = ADDRESSES_AT + 2 * width
    end = head[start : start + width]
    return int.from_bytes(end, "little") if width <= 8 and len(end) == width else 0
