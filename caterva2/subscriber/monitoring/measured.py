"""The metrics of a subscriber, and which values they have."""

from __future__ import annotations

from collections.abc import Iterable

from caterva2.cache.quota import Quota
from caterva2.runtime.metrics import Counter, Gauge, Metrics
from caterva2.subscriber.fetch.traffic import Traffic
from caterva2.subscriber.publishers import way
from caterva2.subscriber.remote_root import RemoteRoot

ROOTS = Gauge("caterva2_roots", "Roots that are online and may be read")
BROKER_UP = Gauge("caterva2_broker_up", "1 if the broker is heard, else 0")
BROKER_SILENT = Gauge(
    "caterva2_broker_silent_seconds", "Time since the broker was heard; none before it was"
)
ROOT_UP = Gauge("caterva2_root_up", "1 if a publisher of the root is there, else 0")
ROOT_FOLLOWED = Gauge("caterva2_root_followed", "1 if its changes are followed, else 0")
ROOT_REVISION = Gauge("caterva2_root_revision", "Revision of the last catalog")
ROOT_HEARD = Gauge(
    "caterva2_root_heard_timestamp_seconds",
    "When the root's publisher was heard last, in seconds since 1970",
)
IN_FLIGHT = Gauge("caterva2_root_in_flight", "Requests to the publisher that are under way")
QUEUED = Gauge("caterva2_queued", "What waits, or is under way, by queue")
CACHE_BYTES = Gauge("caterva2_cache_bytes", "Disk space of the cache")
CACHE_QUOTA = Gauge("caterva2_cache_quota_bytes", "The quota; none where there is no bound")
EVICTIONS = Counter("caterva2_cache_evictions_total", "Replicas removed to keep the quota")
EVICTED = Counter("caterva2_cache_evicted_bytes_total", "Bytes of these replicas")
READS = Counter(
    "caterva2_reads_total",
    "Reads of datasets, by whether all was in the cache or some came from the publisher",
)
ERRORS = Counter("caterva2_errors_total", "Errors that were answered, by name")
EVENT_LISTENERS = Gauge("caterva2_event_listeners", "Open streams of events")
CHANGES = Counter("caterva2_changes_total", "Datasets that changed at their publishers")
FETCHED_CHUNKS = Counter("caterva2_fetched_chunks_total", "Chunks that publishers sent")
KEPT_CHUNKS = Counter("caterva2_kept_chunks_total", "Chunks of a former version that were kept")
FETCHED_BLOCKS = Counter("caterva2_fetched_blocks_total", "Single blocks that publishers sent")
FETCHED_BYTES = Counter("caterva2_fetched_bytes_total", "Bytes of these chunks and blocks")
RETRIES = Counter("caterva2_fetch_retries_total", "Requests to publishers sent again, by error")
FAILURES = Counter("caterva2_fetch_failures_total", "Requests to publishers given up, by error")


PROVIDER_USED = Gauge(
    "caterva2_provider_used", "1 if a root is taken from this publisher or mirror, else 0"
)
ROUND_TRIP = Gauge(
    "caterva2_provider_round_trip_seconds", "Smoothed round trip to a publisher or mirror"
)
PROVIDER_FAILURES = Counter(
    "caterva2_provider_failures_total", "Requests to one of several providers that failed, by error"
)
SWITCHES = Counter(
    "caterva2_provider_switches_total", "How often another publisher or mirror was taken"
)
REFUSED = Counter(
    "caterva2_signatures_refused_total",
    "What was not signed by the origin that it is said to be of",
)
ORIGIN_UP = Gauge("caterva2_root_origin_up", "1 if the publisher is reached on the way, else 0")
AS_OF = Gauge(
    "caterva2_root_as_of_timestamp_seconds",
    "When the publisher was last in step with what is read here, in seconds since 1970",
)


def report_cache(metrics: Metrics, quota: Quota) -> None:
    """Report the disk space of the cache."""
    metrics.set(CACHE_BYTES, quota.used)
    if quota.max_bytes:
        metrics.set(CACHE_QUOTA, quota.max_bytes)
    metrics.inc(EVICTIONS, quota.evictions)
    metrics.inc(EVICTED, quota.evicted)


def report_root(metrics: Metrics, root: RemoteRoot) -> None:
    """Report a root that was opened."""
    metrics.set(ROOT_FOLLOWED, root.subscribed, root=root.name)
    metrics.set(ROOT_REVISION, root.revision, root=root.name)
    metrics.set(IN_FLIGHT, root.fetcher.calls, root=root.name)
    if root.heard is not None:
        metrics.set(ROOT_HEARD, round(root.heard, 3), root=root.name)
    metrics.inc(REFUSED, root.trust.refused, root=root.name)
    report_traffic(metrics, root.traffic)
    report_way(metrics, root)


def report_way(metrics: Metrics, root: RemoteRoot) -> None:
    """Report by which way a root comes, and its providers where there are several."""
    now = root.way
    metrics.set(ORIGIN_UP, now.origin == "up", root=root.name)
    if now.as_of is not None:
        metrics.set(AS_OF, round(now.as_of, 3), root=root.name)
    found = list(way.standings(root.providers))
    if len(found) < 2 and not now.path:
        return
    for one in found:
        metrics.set(PROVIDER_USED, one.state == "used", root=root.name, provider=one.name)
        if one.trip is not None:
            metrics.set(ROUND_TRIP, round(one.trip, 6), root=root.name, provider=one.name)
    for (name, error), count in list(root.providers.failures.items()):
        provider = name or "publisher"
        metrics.inc(PROVIDER_FAILURES, count, root=root.name, provider=provider, error=error)
    metrics.inc(SWITCHES, root.providers.switches, root=root.name)


def report_traffic(metrics: Metrics, traffic: Traffic) -> None:
    """Report what arrived from the publishers of a root, and what was read of it."""
    root = traffic.root
    metrics.inc(READS, traffic.hits, root=root, source="cache")
    metrics.inc(READS, traffic.misses, root=root, source="publisher")
    metrics.inc(FETCHED_CHUNKS, traffic.chunks, root=root)
    metrics.inc(KEPT_CHUNKS, traffic.kept, root=root)
    metrics.inc(FETCHED_BLOCKS, traffic.blocks, root=root)
    metrics.inc(FETCHED_BYTES, traffic.bytes, root=root)
    for error, count in list(traffic.retries.items()):
        metrics.inc(RETRIES, count, root=root, error=error)
    for error, count in list(traffic.failures.items()):
        metrics.inc(FAILURES, count, root=root, error=error)


def report_queues(metrics: Metrics, queues: Iterable[tuple[str, int]]) -> None:
    """Report how much waits in some queues."""
    for name, length in queues:
        metrics.set(QUEUED, length, queue=name)
