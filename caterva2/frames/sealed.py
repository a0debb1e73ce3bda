"""Complete frames in open files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol


class OpenFile(Protocol):
    """A file that stays open as long as this object is referenced."""

    @property
    def fd(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """A complete frame: its header in memory, the rest, up to ``size``, in a file.

    The file stays open as long as this object is referenced, even if the replica is removed.
    ``layout`` distinguishes frames of one version whose chunks arrived in different orders, or have
    their blocks in different orders.
    """

    file: OpenFile
    header: bytes
    size: int
    layout: str

    def pread(self, size: int, offset: int) -> bytes:
        """Return bytes of the frame; the header in the file may belong to a later sealing."""
        size = min(size, self.size - offset)
        if offset >= len(self.header):
            return os.pread(self.file.fd, size, offset)
        head = self.header[offset : offset + size]
        return head + os.pread(self.file.fd, size - len(head), offset + len(head))
