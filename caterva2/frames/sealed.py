"""A complete frame in an open file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol


class OpenFile(Protocol):
    """A file that stays open for as long as anybody holds this."""

    @property
    def fd(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """A complete frame: its header is here, the rest, up to ``size``, is in the file.

    It keeps the file open for as long as anybody holds it, whatever becomes of the replica.
    ``layout`` tells apart frames of one version whose chunks came in different orders.
    """

    file: OpenFile
    header: bytes
    size: int
    layout: str

    def pread(self, size: int, offset: int) -> bytes:
        """Bytes of the frame; the header in the file may be of a later sealing."""
        size = min(size, self.size - offset)
        if offset >= len(self.header):
            return os.pread(self.file.fd, size, offset)
        head = self.header[offset : offset + size]
        return head + os.pread(self.file.fd, size - len(head), offset + len(head))
