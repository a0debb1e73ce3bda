"""``/metrics`` over HTTP: what Prometheus makes of it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import WORKERS, Stack, example_stack
from tests.web.asking import ask

READS = "caterva2_reads_total"
SELDOM = {
    "caterva2_cache_quota_bytes", "caterva2_cluster_pieces_total", "caterva2_faults_total",
    "caterva2_fetch_failures_total", "caterva2_fetch_retries_total",
    "caterva2_provider_failures_total", "caterva2_provider_round_trip_seconds",
    "caterva2_provider_switches_total", "caterva2_provider_used",
}  # fmt: skip
"""Metrics of faults, and of what not every subscriber has."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of these tests alone, whose cache holds what they have read."""
    for stack in example_stack(tmp_path_factory):
        stack.client.fetch("foo/ds-1d.b2nd")
        ask(stack, "api/info/foo/nothing")
        ask(stack, "no/such/call", "PROPFIND")
        yield stack


def scraped(stack: Stack) -> dict[str, Metric]:
    answer = ask(stack, "metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {one.name: one for one in text_string_to_metric_families(answer.body.decode())}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    """Return the value of one series."""
    samples = (sample for one in found.values() for sample in one.samples)
    (known,) = [
        sample.value
        for sample in samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return known


def metrics_of(*sections: str) -> set[str]:
    """Return the metrics that sections of the document describe."""
    text = (Path(__file__).parents[2] / "docs/monitoring.md").read_text()
    parts = [text.partition(f"### {section}\n")[2].partition("\n#")[0] for section in sections]
    return set(re.findall(r"^\| `((?:caterva2|process)_\w+)", "".join(parts), re.MULTILINE))


def test_every_metric_has_a_type_and_says_what_it_is(asked: Stack) -> None:
    found = scraped(asked)
    assert {one.type for one in found.values()} == {"counter", "gauge", "histogram"}
    assert all(one.documentation for one in found.values())
    assert value(found, "caterva2_fetched_chunks_total", root="foo") > 0
    assert found["caterva2_roots"].samples[0].value == 1


def test_requests_are_counted_by_call_and_status(asked: Stack) -> None:
    samples = scraped(asked)["caterva2_request_seconds"].samples
    counts = {
        tuple(sample.labels[name] for name in ("call", "method", "status")): sample.value
        for sample in samples
        if sample.name.endswith("_count")
    }
    assert counts["/api/fetch", "GET", "200"] >= 1
    assert counts["/api/info", "GET", "404"] == 1
    assert counts["other", "other", "404"] == 1
    assert not any("foo" in call for call, _, _ in counts)


def test_stalls_of_the_event_loop_are_counted(asked: Stack) -> None:
    assert scraped(asked)["caterva2_loop_stall_seconds"].samples[-1].value > 0


def test_reads_are_counted_by_where_their_data_came_from(asked: Stack) -> None:
    before = scraped(asked)
    for _ in range(3):
        asked.client.fetch("foo/dir1/ds-3d.b2nd")
    asked.client.fetch("foo/dir1/ds-3d.b2nd", (0, 1))
    after = scraped(asked)
    for source, count in {"publisher": 1, "cache": 3}.items():
        reads = [value(found, READS, root="foo", source=source) for found in (before, after)]
        assert reads[1] - reads[0] == count, source
    waited = value(after, "caterva2_fetch_wait_seconds_count", root="foo")
    assert waited == value(after, READS, root="foo", source="publisher")


def test_state_of_broker_roots_and_cache(asked: Stack) -> None:
    found = scraped(asked)
    assert value(found, "caterva2_broker_up") == value(found, "caterva2_root_up", root="foo") == 1
    assert value(found, "caterva2_broker_silent_seconds") < 60
    assert value(found, "caterva2_root_followed", root="foo") == 1
    assert value(found, "caterva2_root_revision", root="foo") >= 0
    assert abs(value(found, "caterva2_root_heard_timestamp_seconds", root="foo") - time.time()) < 60
    assert value(found, "caterva2_cache_bytes") > 0
    assert value(found, "caterva2_queued", queue="fetch") == 0
    assert value(found, "caterva2_errors_total", error="not-found") >= 1


def test_process_is_measured_as_prometheus_does(asked: Stack) -> None:
    found = scraped(asked)
    assert value(found, "caterva2_build_info") == 1
    assert 1 < value(found, "process_open_fds") < value(found, "process_max_fds")
    assert 2**24 < value(found, "process_resident_memory_bytes") < 2**32
    assert 0 < value(found, "process_start_time_seconds") < time.time()


def test_subscriber_is_ready(asked: Stack) -> None:
    answer = ask(asked, "readyz?from=monitor")
    assert (answer.status, answer.json) == (200, {"status": "ready", "reason": ""})


def test_document_names_every_metric(asked: Stack) -> None:
    documented = metrics_of("Of a subscriber", "Of every service")
    found = scraped(asked).values()
    names = {one.name + "_total" * (one.type == "counter") for one in found}
    assert names <= documented | (metrics_of("With workers") if WORKERS in os.environ else set())
    assert documented - names <= SELDOM
