"""Quota of all special roots together."""

from __future__ import annotations

import threading

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

    @property
    def used(self) -> int:
        """Stored and incoming bytes."""
        return self._stored + self._incoming

    def add_stored(self, difference: int) -> None:
        """Count a change of the stored bytes, positive or negative."""
        with self._lock:
            self._stored += difference

    def take(self, size: int) -> None:
        """Count bytes that are about to be written.

        Raises
        ------
        QuotaExceeded
        """
        with self._lock:
            if self.max_bytes and self.used + size > self.max_bytes:
                raise QuotaExceeded(
                    "Upload failed because quota limit has been exceeded: "
                    f"{self.used} of {self.max_bytes} bytes are in use, {size} more are too many"
                )
            self._incoming += size

    def release(self, size: int) -> None:
        """Stop counting incoming bytes, which are stored now or removed."""
        with self._lock:
            self._incoming -= size
