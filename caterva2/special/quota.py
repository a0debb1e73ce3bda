"""How many bytes the special roots may take, all of them together."""

from __future__ import annotations

import threading

from caterva2.errors import QuotaExceeded


class SpaceQuota:
    """Counts what is there and what is coming in; may be used from any thread.

    Parameters
    ----------
    most : int
        Bytes that all files together may take; 0 is without a limit.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._stored = 0
        self._coming = 0

    @property
    def used(self) -> int:
        """Bytes that are there or coming in."""
        return self._stored + self._coming

    def stored(self, difference: int) -> None:
        """So many bytes more are there, or less."""
        with self._lock:
            self._stored += difference

    def take(self, size: int) -> None:
        """Count bytes that are about to be written.

        Raises
        ------
        QuotaExceeded
        """
        with self._lock:
            if self.most and self.used + size > self.most:
                raise QuotaExceeded(
                    "Upload failed because quota limit has been exceeded: "
                    f"{self.used} of {self.most} bytes are in use, {size} more are too many"
                )
            self._coming += size

    def give(self, size: int) -> None:
        """These bytes come in no more: they are there now, or gone."""
        with self._lock:
            self._coming -= size
