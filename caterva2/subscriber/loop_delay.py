"""The delay of the event loop, for metrics."""

from __future__ import annotations

import asyncio

from caterva2.runtime.metrics import Metrics
from caterva2.subscriber.measured import LONGEST_STALL, STALLS

_TICK = 0.02
"""Seconds between two measurements."""


class LoopDelay:
    """Measure how late the event loop runs what is due.

    Parameters
    ----------
    metrics : Metrics
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._longest = 0.0
        metrics.set(LONGEST_STALL, 0.0)

    async def measure(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            late = max(loop.time() - due, 0.0)
            self._metrics.observe(STALLS, late)
            if late > self._longest:
                self._longest = late
                self._metrics.set(LONGEST_STALL, round(late, 4))
