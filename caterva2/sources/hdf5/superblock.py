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
WRITTEN, SWMR = 1, 4
"""The flags: open for writing, and by a SWMR writer."""
SWMR_VERSION = 3


@dataclass(frozen=True, slots=True)
class Superblock:
    """The fields of a superblock that can be read without following its addresses."""

    version: int
    flags: int

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
        head = os.pread(fd, 12, at)
        if head[:8] == SIGNATURE and len(head) > 8:
            where = FLAGS_AT.get(head[8])
            return Superblock(head[8], head[where] if where and where < len(head) else 0)
        at = 2 * at or FIRST
    return None
