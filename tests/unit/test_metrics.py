"""Metrics: one suite for the null object and the one in memory, and what that keeps."""

from __future__ import annotations

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from caterva2.runtime.metrics import (
    NO_METRICS,
    Counter,
    Gauge,
    Histogram,
    MemoryMetrics,
    Metrics,
    Sample,
)
from caterva2.runtime.monitoring import exposition

ASKED = Counter("asked_total", "Requests")
ROOTS = Gauge("roots", "Roots")
SECONDS = Histogram("seconds", "Time", (0.1, 1.0))


def samples(metrics: MemoryMetrics) -> list[Sample]:
    return [sample for found in metrics.families().values() for sample in found]


@pytest.mark.parametrize("metrics", [NO_METRICS, MemoryMetrics()], ids=["null", "memory"])
def test_all_take_the_calls_of_the_contract(metrics: Metrics) -> None:
    metrics.inc(ASKED)
    metrics.inc(ASKED, 3, type="chunks?")
    metrics.set(ROOTS, 7)
    metrics.observe(SECONDS, 0.5, type="info?")


def test_values_by_name_and_labels() -> None:
    metrics = MemoryMetrics()
    metrics.inc(ASKED, type="info?", root="foo")
    metrics.inc(ASKED, 2, root="foo", type="info?")
    metrics.inc(ASKED, root="bar", type="info?")
    metrics.set(ROOTS, 7)
    metrics.set(ROOTS, 5)
    assert metrics.families() == {
        ASKED: [
            Sample("asked_total", (("root", "bar"), ("type", "info?")), 1.0),
            Sample("asked_total", (("root", "foo"), ("type", "info?")), 3.0),
        ],
        ROOTS: [Sample("roots", (), 5.0)],
    }


def test_histogram_counts_the_values_up_to_each_bound() -> None:
    metrics = MemoryMetrics()
    for seconds in (0.05, 0.1, 0.5, 1.5):
        metrics.observe(SECONDS, seconds, call="a")
    assert [(sample.name, dict(sample.labels), sample.value) for sample in samples(metrics)] == [
        ("seconds_bucket", {"call": "a", "le": "0.1"}, 2),
        ("seconds_bucket", {"call": "a", "le": "1.0"}, 3),
        ("seconds_bucket", {"call": "a", "le": "+Inf"}, 4),
        ("seconds_sum", {"call": "a"}, pytest.approx(2.15)),
        ("seconds_count", {"call": "a"}, 4),
    ]


def test_a_counter_never_decreases() -> None:
    with pytest.raises(ValueError, match="asked_total is a counter"):
        MemoryMetrics().inc(ASKED, -1)


def test_labels_from_outside_take_no_more_memory_than_a_bound() -> None:
    metrics = MemoryMetrics(max_series=3)
    for n in range(10):
        metrics.inc(ASKED, peer=str(n))
        metrics.set(ROOTS, 1, peer=str(n))
        metrics.observe(SECONDS, 1, peer=str(n))
    assert {dict(sample.labels)["peer"] for sample in samples(metrics)} == {"0"}
    metrics.inc(ASKED, peer="0")  # what is there counts on
    assert metrics.families()[ASKED] == [Sample("asked_total", (("peer", "0"),), 2.0)]


def test_copy_does_not_change_what_it_was_made_of() -> None:
    metrics = MemoryMetrics()
    metrics.inc(ASKED)
    metrics.observe(SECONDS, 0.5)
    before = metrics.families()
    copied = metrics.copy()
    copied.inc(ASKED)
    copied.observe(SECONDS, 0.5)
    assert metrics.families() == before
    assert copied.families() != before


def test_threads_count_together() -> None:
    metrics = MemoryMetrics()

    def count() -> None:
        for _ in range(5_000):
            metrics.inc(ASKED)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sample.value for sample in samples(metrics)] == [20_000.0]


def test_text_says_to_others_what_was_measured() -> None:
    """Whatever characters are in help and labels."""
    metrics, odd = MemoryMetrics(), 'a "b"\\n\n{c}, {} d'
    asked = Counter("asked_total", "Requests\nof \\n anybody")
    metrics.inc(asked, 2**40, peer=odd)
    metrics.set(ROOTS, 0.25)
    metrics.observe(SECONDS, 0.5)
    found = {one.name: one for one in text_string_to_metric_families(exposition.text(metrics))}
    assert {name: one.type for name, one in found.items()} == {
        "asked": "counter", "roots": "gauge", "seconds": "histogram",
    }  # fmt: skip
    assert found["asked"].documentation == asked.help
    (sample,) = found["asked"].samples
    assert (sample.labels, sample.value) == ({"peer": odd}, 2**40)
    assert found["roots"].samples[0].value == 0.25
    assert found["seconds"].samples[1].labels == {"le": "1.0"}
