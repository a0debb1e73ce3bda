"""Metrics: one suite for the null object and the one in memory, and what that keeps."""

from __future__ import annotations

import threading

import pytest

from caterva2.runtime.metrics import NO_METRICS, MemoryMetrics, Metrics, Sample


@pytest.mark.parametrize("metrics", [NO_METRICS, MemoryMetrics()], ids=["null", "memory"])
def test_all_take_the_calls_of_the_contract(metrics: Metrics) -> None:
    metrics.inc("requests_total")
    metrics.inc("requests_total", 3, type="chunks?")
    metrics.set("roots", 7)
    metrics.observe("request_seconds", 0.5, type="info?")


def test_values_by_name_and_labels() -> None:
    metrics = MemoryMetrics()
    metrics.inc("requests_total", type="info?", root="foo")
    metrics.inc("requests_total", 2, root="foo", type="info?")
    metrics.inc("requests_total", root="bar", type="info?")
    metrics.set("roots", 7)
    metrics.set("roots", 5)
    for seconds in (0.5, 1.5):
        metrics.observe("request_seconds", seconds)
    assert list(metrics.samples()) == [
        Sample("request_seconds_count", (), 2.0),
        Sample("request_seconds_sum", (), 2.0),
        Sample("requests_total", (("root", "bar"), ("type", "info?")), 1.0),
        Sample("requests_total", (("root", "foo"), ("type", "info?")), 3.0),
        Sample("roots", (), 5.0),
    ]
    assert metrics.kinds() == {
        "requests_total": "counter", "roots": "gauge", "request_seconds": "summary",
    }  # fmt: skip


def test_a_counter_never_decreases() -> None:
    with pytest.raises(ValueError, match="requests_total is a counter"):
        MemoryMetrics().inc("requests_total", -1)


def test_one_name_has_one_kind() -> None:
    metrics = MemoryMetrics()
    metrics.inc("a")
    for wrong in (metrics.set, metrics.observe):
        with pytest.raises(ValueError, match="a is a counter"):
            wrong("a", 1.0)


def test_labels_from_outside_take_no_more_memory_than_a_bound() -> None:
    metrics = MemoryMetrics(max_series=3)
    for n in range(10):
        metrics.inc("requests_total", peer=str(n))
        metrics.set("up", 1, peer=str(n))
    assert len(list(metrics.samples())) == 3
    metrics.inc("requests_total", peer="0")  # what is there counts on
    assert next(s.value for s in metrics.samples() if s.labels == (("peer", "0"),)) == 2.0


def test_threads_count_together() -> None:
    metrics = MemoryMetrics()

    def count() -> None:
        for _ in range(5_000):
            metrics.inc("requests_total")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sample.value for sample in metrics.samples()] == [20_000.0]
