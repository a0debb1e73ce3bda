"""What a publisher measures of itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from caterva2.errors import CatervaError, SourceCorrupt
from caterva2.publisher.outgoing import Outgoing
from caterva2.runtime.metrics import Counter, Gauge, Histogram, MemoryMetrics, Metrics
from caterva2.runtime.monitoring import process
from caterva2.runtime.monitoring.faults import Faults
from caterva2.runtime.monitoring.loop_delay import LoopDelay
from caterva2.sources.followed import FollowedSource

T = TypeVar("T")
SERVED = Histogram(
    "caterva2_publisher_request_seconds",
    "Time from a request to its end, by type and by the error that it was answered with",
    (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
)
READS = Histogram(
    "caterva2_publisher_read_seconds", "How long reading the source for one reply took",
    (0.0005, 0.0025, 0.01, 0.05, 0.25, 1.0, 5.0),
)  # fmt: skip
CHUNKS = Counter("caterva2_publisher_chunks_total", "Chunks that were sent")
HELD = Counter(
    "caterva2_publisher_held_chunks_total",
    "Chunks that subscribers had of a former version",
)
BLOCKS = Counter("caterva2_publisher_blocks_total", "Single blocks that were sent")
BYTES = Counter("caterva2_publisher_bytes_total", "Bytes of what was sent")
JOBS = Gauge("caterva2_publisher_jobs", "Requests that are worked on")
OUTGOING = Gauge("caterva2_publisher_outgoing_bytes", "Memory of replies on their way")
READERS = Gauge("caterva2_publisher_readers", "Subscribers with replies on their way")
DATASETS = Gauge("caterva2_publisher_datasets", "Datasets and groups in the catalog")
CHANGES = Counter("caterva2_publisher_changes_total", "Changes of the catalog: its revision")
SCANS = Counter("caterva2_publisher_scans_total", "Scans of the source, or of a part of it")
SCANNING = Counter("caterva2_publisher_scan_seconds_total", "Time that scans took")
REGISTERED = Gauge("caterva2_publisher_registered", "1 if the broker granted the root, else 0")
FENCE = Gauge("caterva2_publisher_fence", "Fence of the lease")
_SLOW = 1.0
"""Seconds of a read above which the disk is slow."""
_STALLED = 5.0
"""Seconds of a delay of the event loop after which the publisher is not ready for a while."""


class Served:
    """Count what is served of a root.

    Parameters
    ----------
    root : str, optional

    Attributes
    ----------
    metrics : MemoryMetrics
    faults : Faults
    """

    def __init__(self, root: str = "") -> None:
        self.chunks = 0
        self.held = 0
        self.blocks = 0
        self.bytes = 0
        self.requests = 0
        self.metrics = MemoryMetrics()
        self.faults = Faults(self.metrics)
        self._root = root

    def summary(self) -> str:
        """Return the counters as a line for the log."""
        return (
            f"served {self.requests} requests, {self.chunks} chunks, {self.blocks} blocks, "
            f"{self.bytes} bytes; {self.held} chunks were there already"
        )

    def answered(self, kind: str, began: float, error: CatervaError | None = None) -> None:
        """Record the end of a request that began at a monotonic time."""
        name = error.name if error else ""
        self.metrics.observe(SERVED, time.monotonic() - began, type=kind, error=name)
        if isinstance(error, SourceCorrupt):
            self.faults.note("broken-file", f"{self._root}: {error}", self._root)

    def timed(self, work: Callable[[], T], subject: str) -> Callable[[], T]:
        """Return a read of the source that is measured."""

        def read() -> T:
            began = time.monotonic()
            try:
                return work()
            finally:
                seconds = time.monotonic() - began
                self.metrics.observe(READS, seconds)
                if seconds > _SLOW:
                    text = f"reading a part of {self._root}/{subject} took {seconds:.1f} s"
                    self.faults.note("slow-disk", text, self._root)

        return read


class PublisherMonitor:
    """Report what a publisher does.

    Parameters
    ----------
    served : Served
    followed : FollowedSource
    outgoing : Outgoing
    jobs : callable
        Gives the number of requests that are worked on.
    fence : callable
        Gives the fence of the lease.
    registered : callable
        Tells whether the broker granted the lease, and was heard since.

    Attributes
    ----------
    metrics : MemoryMetrics
    """

    def __init__(
        self,
        served: Served,
        followed: FollowedSource,
        outgoing: Outgoing,
        jobs: Callable[[], int],
        fence: Callable[[], int],
        registered: Callable[[], bool],
    ) -> None:
        self.metrics = served.metrics
        self._served = served
        self._followed = followed
        self._outgoing = outgoing
        self._jobs = jobs
        self._fence = fence
        self._registered = registered
        self._delay = LoopDelay(self.metrics)

    async def measure(self) -> None:
        """Measure what takes time, until cancelled."""
        await self._delay.measure()

    async def report(self, metrics: Metrics) -> None:
        """Report what is measured when it is asked for."""
        served, followed = self._served, self._followed
        metrics.inc(CHUNKS, served.chunks)
        metrics.inc(HELD, served.held)
        metrics.inc(BLOCKS, served.blocks)
        metrics.inc(BYTES, served.bytes)
        metrics.set(JOBS, self._jobs())
        metrics.set(OUTGOING, self._outgoing.used)
        metrics.set(READERS, self._outgoing.readers)
        metrics.set(DATASETS, len(followed.entries))
        metrics.inc(CHANGES, followed.rev)
        metrics.inc(SCANS, followed.scans)
        metrics.inc(SCANNING, followed.scan_seconds)
        metrics.set(REGISTERED, self._registered())
        metrics.set(FENCE, self._fence())
        process.report(metrics)

    async def unready(self) -> str:
        """Return why the publisher can't do its work; empty if it can."""
        late = self._delay.lately(asyncio.get_running_loop().time())
        if late > _STALLED:
            return f"event loop: it stood still for {late:.1f} s"
        return "" if self._registered() else "broker: the root is not registered"
