"""How long a call waits for its reply."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from caterva2.isolation.channel import Silent

PATIENCE = 4
"""Times the limit of a call that one may last while the process answers others, or is starved."""


class Patience:
    """Waits longer for a reply while the process answers others, since these may take turns.

    It also does while the process gets no processor, since that is not the fault of its file.

    Parameters
    ----------
    heard : callable
        Returns the monotonic time of the last reply to any call.
    limit : float
        Seconds.
    starved : callable, optional
        Returns the seconds that the process has waited for a processor so far.
    """

    def __init__(
        self,
        heard: Callable[[], float],
        limit: float,
        starved: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._heard = heard
        self._limit = limit
        self._starved = starved
        self.begin()

    def begin(self) -> None:
        """Begin to wait anew."""
        self._since = time.monotonic()
        self._starved_before = self._starved()

    def __call__(self, silent: Silent) -> None:
        now = time.monotonic()
        waited = now - self._since
        others = now - self._heard() < self._limit
        starved = self._starved() - self._starved_before > waited / 2
        if waited >= PATIENCE * self._limit or not (others or starved):
            raise silent


def starvation(pid: int) -> float:
    """Return the seconds that a process's main thread was ready to run, but got no processor.

    It is 0 where the system does not say it.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0
