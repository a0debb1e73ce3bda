"""How long a call waits for its reply."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from caterva2.isolation.channel import Silent

SILENCES = 2
"""Into which the limit of a call is divided."""
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
        Seconds; `SILENCES` times as long as those after which it is called.
    starved : callable
        Returns the seconds that the process has waited for a processor so far.
    """

    def __init__(
        self, heard: Callable[[], float], limit: float, starved: Callable[[], float]
    ) -> None:
        self._heard = heard
        self._limit = limit
        self._starved = starved
        self._last = self._starved_before = 0.0
        self.begin()

    def begin(self) -> None:
        """Begin to wait anew."""
        self._silences = 0

    def __call__(self, silent: Silent) -> None:
        self._silences += 1
        now, starved = time.monotonic(), self._starved()
        if self._silences >= SILENCES:
            if self._silences >= PATIENCE * SILENCES:
                raise silent
            others = now - self._heard() < self._limit
            if not others and starved - self._starved_before < (now - self._last) / 2:
                raise silent
        self._last, self._starved_before = now, starved


def starvation(pid: int) -> float:
    """Return the seconds that the threads of a process were ready to run, but got no processor.

    It is 0 where the system does not say it.
    """
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # a thread that has ended
            total += int(file.read_text().split()[1])
    return total / 1e9
