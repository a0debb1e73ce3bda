"""Lines of a log about what others do: a bounded number in a while, and how many were left out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

MOST = 20
SECONDS = 60.0


class BoundedLog:
    """A log of which others choose how often something is noted; used on an event loop.

    Parameters
    ----------
    log : Logger
    most : int
        Lines within the time.
    seconds : float
        After which the lines that were left out are counted in one.
    """

    def __init__(self, log: logging.Logger, most: int = MOST, seconds: float = SECONDS) -> None:
        self._log = log
        self._most, self._seconds = most, seconds
        self._until, self._left, self._dropped = 0.0, 0, 0

    def note(self, level: int, text: str, *given: object) -> None:
        """Log a line, or count it; one below INFO is logged whenever that is wanted."""
        if not self._log.isEnabledFor(level):
            return
        if level < logging.INFO or self._has_room():
            self._log.log(level, text, *given)

    def _has_room(self) -> bool:
        now = time.monotonic()
        if now >= self._until:
            self._sum_up()
            self._until, self._left = now + self._seconds, self._most
        if self._left > 0:
            self._left -= 1
            return True
        self._dropped += 1
        if self._dropped == 1:
            with contextlib.suppress(RuntimeError):  # without a loop: with the next line
                asyncio.get_running_loop().call_later(self._until - now, self._sum_up)
        return False

    def _sum_up(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._log.info(
                "%d more lines of this kind, of %g s, were left out", dropped, self._seconds
            )
