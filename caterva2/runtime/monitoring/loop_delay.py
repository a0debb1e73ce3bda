"""The delay of the event loop, for metrics and for whether a service is ready."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from caterva2.runtime.metrics import Gauge, Histogram, Metrics
from caterva2.runtime.tasks import until_tick

LONGEST_STALL = Gauge(
    "caterva2_loop_longest_stall_seconds", "Longest delay of the event loop since the start"
)
STALLS = Histogram(
    "caterva2_loop_stall_seconds",
    "How late the event loop runs what is due, measured 50 times a second while it is busy",
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
_TICK, _IDLE_TICK = 0.02, 2.0
"""Seconds between two measurements: while the process is busy, and else."""
_BUSY, _WINDOW = 0.05, 1.0
"""Share of a processor that a busy process takes, and seconds after which it is looked at again."""
_REMEMBERED = 10.0
"""Seconds for which a delay counts as recent."""


class LoopDelay:
    """Measure how late the event loop runs what is due.

    Parameters
    ----------
    metrics : Metrics
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._longest = 0.0
        self._stalls: deque[tuple[float, float]] = deque(maxlen=64)
        """When a delay of some length ended, and how long it was."""
        metrics.set(LONGEST_STALL, 0.0)

    async def measure(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        began, used, tick = loop.time(), time.process_time(), _TICK
        while True:
            pause = until_tick(tick) if tick == _IDLE_TICK else tick
            due = loop.time() + pause
            await asyncio.sleep(pause)
            now = loop.time()
            self.record(now, max(now - due, 0.0))
            if tick == _IDLE_TICK or now - began > _WINDOW:
                busy = time.process_time() - used > _BUSY * (now - began)
                began, used, tick = now, time.process_time(), _TICK if busy else _IDLE_TICK

    def record(self, now: float, late: float) -> None:
        """Record a delay that ended at a time of the loop."""
        self._metrics.observe(STALLS, late)
        if late > 10 * _TICK:
            self._stalls.append((now, late))
        if late > self._longest:
            self._longest = late
            self._metrics.set(LONGEST_STALL, round(late, 4))

    def lately(self, now: float) -> float:
        """Return the longest delay of the last seconds; 0 if there was no notable one."""
        return max((late for at, late in self._stalls if now - at < _REMEMBERED), default=0.0)
