"""How long a call waits for its reply."""

from __future__ import annotations

import time
from collections.abc import Callable

from caterva2.isolation.channel import Silent

PATIENCE = 4
"""Times the limit of a call that one may last while the process answers others."""


class Patience:
    """Waits longer for a reply while the process answers others, since these may take turns.

    Parameters
    ----------
    heard : callable
        Returns the monotonic time of the last reply to any call.
    limit : float
        Seconds.
    """

    def __init__(self, heard: Callable[[], float], limit: float) -> None:
        self._heard = heard
        self._limit = limit
        self.begin()

    def begin(self) -> None:
        """Begin to wait anew."""
        self._since = time.monotonic()

    def __call__(self, silent: Silent) -> None:
        now = time.monotonic()
        others = now - self._heard() < self._limit
        if not others or now - self._since >= PATIENCE * self._limit:
            raise silent
