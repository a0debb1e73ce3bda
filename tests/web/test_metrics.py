"""``/metrics`` over HTTP: what Prometheus makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Stack
from tests.web.asking import ask

WITH_A_CLUSTER = "caterva2_cluster_pieces_total"


@pytest.fixture(scope="module")
def asked(shared_stack: Stack) -> Stack:
    shared_stack.client.fetch("foo/ds-1d.b2nd")
    ask(shared_stack, "api/info/foo/nothing")
    ask(shared_stack, "no/such/call")
    return shared_stack


def scraped(stack: Stack) -> dict[str, Metric]:
    answer = ask(stack, "metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {one.name: one for one in text_string_to_metric_families(answer.body.decode())}


def test_every_metric_has_a_type_and_says_what_it_is(asked: Stack) -> None:
    found = scraped(asked)
    assert {one.type for one in found.values()} == {"counter", "gauge", "histogram"}
    assert all(one.documentation for one in found.values())
    assert found["caterva2_fetched_chunks"].samples[0].value > 0
    assert found["caterva2_roots"].samples[0].value == 1


def test_requests_are_counted_by_call_and_status(asked: Stack) -> None:
    samples = scraped(asked)["caterva2_request_seconds"].samples
    counts = {
        (sample.labels["call"], sample.labels["status"]): sample.value
        for sample in samples
        if sample.name.endswith("_count")
    }
    assert counts["/api/fetch", "200"] >= 1
    assert counts["/api/info", "404"] == 1
    assert counts["other", "404"] == 1
    assert not any("foo" in call for call, _ in counts)


def test_stalls_of_the_event_loop_are_counted(asked: Stack) -> None:
    assert scraped(asked)["caterva2_loop_stall_seconds"].samples[-1].value > 0


def test_document_names_every_metric(asked: Stack) -> None:
    text = (Path(__file__).parents[2] / "docs/rest.md").read_text()
    documented = set(re.findall(r"^\| `(caterva2_\w+)", text, re.MULTILINE))
    found = scraped(asked).values()
    names = {one.name + "_total" * (one.type == "counter") for one in found}
    assert documented - {WITH_A_CLUSTER} == names
