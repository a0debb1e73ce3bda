"""The delay of the event loop, for metrics."""

from __future__ import annotations

import asyncio

_TICK = 0.02
"""Seconds between two measurements."""


class LoopDelay:
    """Measure how late the event loop runs what is due.

    Attributes
    ----------
    longest : float
        Seconds, since the start.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def measure(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            self.longest = max(self.longest, loop.time() - due)
