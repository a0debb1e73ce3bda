"""What a subscriber measures of itself, for `/metrics`."""

from __future__ import annotations

from collections.abc import Sequence

from caterva2.runtime.metrics import Counter, Gauge, Histogram, Metrics
from caterva2.subscriber.fetch.traffic import Traffic

ROOTS = Gauge("caterva2_roots", "Roots that are online and may be read")
CACHE_BYTES = Gauge("caterva2_cache_bytes", "Disk space of the cache")
EVENT_LISTENERS = Gauge("caterva2_event_listeners", "Open streams of events")
CHANGES = Counter("caterva2_changes_total", "Datasets that changed at their publishers")
LONGEST_STALL = Gauge(
    "caterva2_loop_longest_stall_seconds", "Longest delay of the event loop since the start"
)
STALLS = Histogram(
    "caterva2_loop_stall_seconds",
    "How late the event loop runs what is due, measured 50 times a second",
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
FETCHED_CHUNKS = Counter("caterva2_fetched_chunks_total", "Chunks that publishers sent")
KEPT_CHUNKS = Counter("caterva2_kept_chunks_total", "Chunks of a former version that were kept")
FETCHED_BLOCKS = Counter("caterva2_fetched_blocks_total", "Single blocks that publishers sent")
FETCHED_BYTES = Counter("caterva2_fetched_bytes_total", "Bytes of these chunks and blocks")


def report(metrics: Metrics, traffic: Sequence[Traffic]) -> None:
    """Report what arrived from all publishers together."""
    metrics.inc(FETCHED_CHUNKS, sum(one.chunks for one in traffic))
    metrics.inc(KEPT_CHUNKS, sum(one.kept for one in traffic))
    metrics.inc(FETCHED_BLOCKS, sum(one.blocks for one in traffic))
    metrics.inc(FETCHED_BYTES, sum(one.bytes for one in traffic))
