"""Quota of all special roots together."""

from __future__ import annotations

import threading
from collections.abc import Callable

from caterva2.errors import QuotaExceeded


class SpecialQuota:
    """Counts stored and incoming bytes; thread-safe.

    Parameters
    ----------
    max_bytes : int
        Bytes of all files together; 0 for no limit.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._stored = 0
        self._incoming = 0
        self._trashed = 0
        self.make_room: Callable[[int], None] = lambda _: None
        """Removes items of the trash, of some bytes together."""

    @property
    def used(self) -> int:
        """Stored and incoming bytes, without those in the trash."""
        return self._stored + self._incoming

    @property
    def trashed(self) -> int:
        """Bytes in the trash."""
        return self._trashed

    def add_stored(self, difference: int) -> None:
        """Count a change of the stored bytes, positive or negative."""
        with self._lock:
            self._stored += difference

    def add_trashed(self, difference: int) -> None:
        """Count a change of the bytes in the trash, which gives way to all others."""
        with self._lock:
            self._trashed += difference

    def take(self, size: int) -> None:
        """Count bytes that are about to be written; the trash makes room for them.

        Raises
        ------
        QuotaExceeded
        """
        self._count(size)
        over = self.used + self._trashed - self.max_bytes
        if self.max_bytes and over > 0 and self._trashed:
            self.make_room(over)

    def check(self, size: int) -> None:
        """Raise `QuotaExceeded` if so many bytes more would not fit now."""
        if self.max_bytes and self.used + size > self.max_bytes:
            raise QuotaExceeded(
                "Upload failed because quota limit has been exceeded: "
                f"{self.used} of {self.max_bytes} bytes are in use, {size} more are too many"
            )

    def _count(self, size: int) -> None:
        with self._lock:
            self.check(size)
            self._incoming += size

    def release(self, size: int) -> None:
        """Stop counting incoming bytes, which are stored now or removed."""
        with self._lock:
            self._incoming -= size
