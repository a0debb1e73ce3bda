"""A subscriber with its special roots, as its operators see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from caterva2.runtime.metrics import MemoryMetrics, Metrics
from caterva2.special.roots import SpecialRoots
from caterva2.subscriber.service import Subscriber


class ServiceMonitor:
    """Report what the whole service measures.

    Parameters
    ----------
    metrics : MemoryMetrics
        What is measured all the time.
    subscriber : Subscriber
    special : SpecialRoots

    Attributes
    ----------
    others : list of callable
        Report what other parts of the service measure.
    """

    def __init__(
        self, metrics: MemoryMetrics, subscriber: Subscriber, special: SpecialRoots
    ) -> None:
        self.metrics = metrics
        self._subscriber = subscriber
        self._special = special
        self.others: list[Callable[[Metrics], None]] = []

    async def report(self, metrics: Metrics) -> None:
        """Report what is measured when it is asked for."""
        await self._subscriber.monitor.report(metrics)
        self._special.report(metrics)
        for report in self.others:
            report(metrics)

    async def unready(self) -> str:
        """Return why the subscriber can't serve; empty if it can."""
        return await self._subscriber.monitor.unready()

    async def measure(self) -> None:
        """Do nothing until cancelled: the subscriber measures by itself."""
        await asyncio.Event().wait()
