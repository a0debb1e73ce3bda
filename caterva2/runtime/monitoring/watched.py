"""A service that is watched: its metrics and health at an address of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from caterva2.runtime.metrics import MemoryMetrics, Metrics
from caterva2.runtime.monitoring import exposition
from caterva2.runtime.monitoring.listener import Answer, MonitoringListener
from caterva2.runtime.service import Running, Service
from caterva2.runtime.tasks import cancel_all

_JSON = "application/json"


class Monitor(Protocol):
    """What a service says of itself.

    Attributes
    ----------
    metrics : MemoryMetrics
        What is measured all the time.
    """

    metrics: MemoryMetrics

    async def report(self, metrics: Metrics) -> None:
        """Report what is measured when it is asked for."""

    async def unready(self) -> str:
        """Return why the service can't do its work; empty if it can."""

    async def measure(self) -> None:
        """Measure what takes time, until cancelled."""


class Watchable(Running, Protocol):
    """A service with a monitor."""

    @property
    def monitor(self) -> Monitor:
        """Health and metrics of the service."""


class _WithMonitoring:
    """A running service whose ready line says where its metrics are."""

    def __init__(self, running: Watchable, url: str) -> None:
        self.ready = f"{running.ready}, metrics at {url}/metrics"
        self._running = running

    @property
    def status(self) -> str:
        return self._running.status

    def __getattr__(self, name: str) -> object:
        return getattr(self._running, name)

    async def failed(self) -> None:
        await self._running.failed()


@contextlib.asynccontextmanager
async def _watched(
    service: AbstractAsyncContextManager[Watchable], address: str
) -> AsyncIterator[Running]:
    async with service as running:
        monitor = running.monitor
        scrapes = exposition.Scrapes(monitor.metrics)
        pages = {
            "/metrics": lambda: _metrics(scrapes, monitor),
            "/healthz": _health,
            "/readyz": lambda: _ready(monitor),
        }
        async with MonitoringListener(address, pages) as listener:
            measuring = asyncio.create_task(monitor.measure(), name="measure")
            try:
                yield _WithMonitoring(running, listener.url)
            finally:
                await cancel_all([measuring])


def watched(service: AbstractAsyncContextManager[Watchable], address: str) -> Service:
    """Return a service that shows its metrics at an address, or as it is without an address."""
    return _watched(service, address) if address else service


async def _metrics(scrapes: exposition.Scrapes, monitor: Monitor) -> Answer:
    return Answer(await scrapes.text(monitor.report), exposition.MEDIA_TYPE)


async def _health() -> Answer:
    return Answer(json.dumps({"status": "ok"}), _JSON)


async def _ready(monitor: Monitor) -> Answer:
    reason = await monitor.unready()
    body = {"status": "unready" if reason else "ready", "reason": reason}
    return Answer(json.dumps(body), _JSON, 503 if reason else 200)
