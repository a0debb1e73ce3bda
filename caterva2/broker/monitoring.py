"""What a broker measures of itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping

from caterva2.broker.leases import Registry
from caterva2.broker.outbox import Outbox
from caterva2.runtime.metrics import Counter, Gauge, Histogram, MemoryMetrics, Metrics
from caterva2.runtime.monitoring import process
from caterva2.runtime.monitoring.faults import Faults
from caterva2.runtime.monitoring.loop_delay import LoopDelay

LEASES = Gauge("caterva2_broker_leases", "Roots that a publisher holds")
NAMES = Gauge("caterva2_broker_names", "Names of roots with a fence, held or not")
HOLDERS = Gauge("caterva2_broker_holders", "Connections of publishers that hold a root")
CONNECTIONS = Gauge("caterva2_broker_connections", "Open connections, by socket")
OUTBOX = Gauge("caterva2_broker_outbox", "Notes that wait until the state is on disk")
SEQUENCE = Counter("caterva2_broker_notes_total", "Changes of leases that were announced")
FORWARDED = Counter("caterva2_broker_forwarded_total", "Notes of publishers that were forwarded")
DROPPED = Counter("caterva2_broker_dropped_total", "Messages that were dropped, by reason")
WRITES = Histogram(
    "caterva2_broker_write_seconds", "How long writing the state took",
    (0.001, 0.005, 0.025, 0.1, 0.5, 2.5),
)  # fmt: skip
_SLOW = 1.0
"""Seconds of a write above which the disk is slow."""
_STALLED = 5.0
"""Seconds of a delay of the event loop after which the broker is not ready for a while."""


class BrokerMonitor:
    """Count what a broker does.

    Parameters
    ----------
    registry : Registry
    outbox : callable
        Gives the outbox.
    connections : callable
        Gives the number of open connections by socket.

    Attributes
    ----------
    metrics : MemoryMetrics
    faults : Faults
    dropped : Counter of str
        Messages that were dropped, by reason.
    forwarded : int
        Notes that were forwarded.
    """

    def __init__(
        self,
        registry: Registry,
        outbox: Callable[[], Outbox],
        connections: Callable[[], Mapping[str, int]],
    ) -> None:
        self.metrics = MemoryMetrics()
        self.faults = Faults(self.metrics)
        self.dropped: Counts[str] = Counts()
        self.forwarded = 0
        self._delay = LoopDelay(self.metrics)
        self._registry = registry
        self._outbox = outbox
        self._connections = connections
        self._unwritten = ""

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Measure a write of the state, in the thread that writes."""
        began = time.monotonic()
        try:
            yield
            self._unwritten = ""
        except OSError as error:
            self._unwritten = error.strerror or str(error)
            self.faults.note("disk-full", f"the state can't be written: {self._unwritten}")
            raise
        finally:
            seconds = time.monotonic() - began
            self.metrics.observe(WRITES, seconds)
            if seconds > _SLOW:
                self.faults.note("slow-disk", f"writing the state took {seconds:.1f} s")

    async def measure(self) -> None:
        """Measure what takes time, until cancelled."""
        await self._delay.measure()

    async def report(self, metrics: Metrics) -> None:
        """Report what is measured when it is asked for."""
        metrics.set(LEASES, len(self._registry))
        metrics.set(NAMES, self._registry.names)
        metrics.set(HOLDERS, self._registry.connections)
        metrics.set(OUTBOX, self._outbox().waiting)
        metrics.inc(SEQUENCE, self._registry.seq)
        metrics.inc(FORWARDED, self.forwarded)
        for socket, count in self._connections().items():
            metrics.set(CONNECTIONS, count, socket=socket)
        for reason, count in list(self.dropped.items()):
            metrics.inc(DROPPED, count, reason=reason)
        process.report(metrics)

    async def unready(self) -> str:
        """Return why the broker can't do its work; empty if it can."""
        late = self._delay.lately(asyncio.get_running_loop().time())
        if late > _STALLED:
            return f"event loop: it stood still for {late:.1f} s"
        return f"state: it can't be written: {self._unwritten}" if self._unwritten else ""
