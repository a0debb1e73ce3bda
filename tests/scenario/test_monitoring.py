"""Services say how they are: metrics and health of all three at addresses of their own"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Stack, eventually, example_root
from tests.web.test_metrics import metrics_of

SELDOM = {"caterva2_faults_total", "caterva2_broker_dropped_total"}


class Monitored:
    """Services with metrics, and these."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ports = {kind: stack.hold_port() for kind in ("broker", "publisher", "subscriber")}
        for kind, port in self.ports.items():
            stack.configure(f'[{kind}]\nmetrics = "{port.address}"\n')

    def get(self, kind: str, path: str) -> tuple[int, str]:
        try:
            url = f"http://{self.ports[kind].address}/{path}"
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self, kind: str) -> dict[str, Metric]:
        status, text = self.get(kind, "metrics")
        assert status == 200
        return {one.name: one for one in text_string_to_metric_families(text)}

    def value(self, kind: str, name: str, **labels: str) -> float:
        """Return the sum of the series of a name that have some labels."""
        samples = (sample for one in self.metrics(kind).values() for sample in one.samples)
        return sum(
            sample.value
            for sample in samples
            if sample.name == f"caterva2_{name}" and labels.items() <= sample.labels.items()
        )


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    stack = Stack(tmp_path_factory.mktemp("monitored"))
    try:
        made = Monitored(stack)
        stack.start(foo=example_root())
        stack.client.fetch("foo/ds-1d.b2nd")
        yield made
    finally:
        stack.stop_all()


@pytest.mark.parametrize("kind", ["broker", "publisher"])
def test_the_document_names_every_metric(monitored: Monitored, kind: str) -> None:
    found = monitored.metrics(kind).values()
    names = {one.name + "_total" * (one.type == "counter") for one in found}
    known = metrics_of(f"Of a {kind}", "Of every service")
    assert names <= known
    assert known - names <= SELDOM


def test_a_publisher_says_what_it_serves(monitored: Monitored) -> None:
    read = monitored.value
    assert read("publisher", "publisher_chunks_total") >= 10
    assert read("publisher", "publisher_bytes_total") > 0
    assert read("publisher", "publisher_request_seconds_count", type="chunks?", error="") >= 1
    assert read("publisher", "publisher_read_seconds_count") >= 1
    assert read("publisher", "publisher_datasets") > 5
    assert read("publisher", "publisher_scans_total") >= 1
    assert read("publisher", "publisher_registered") == 1
    assert read("publisher", "publisher_fence") >= 1
    eventually(lambda: read("publisher", "publisher_jobs") == 0)


def test_a_broker_says_who_holds_what(monitored: Monitored) -> None:
    read = monitored.value
    assert read("broker", "broker_leases") == read("broker", "broker_names") == 1
    assert read("broker", "broker_holders") == 1
    assert read("broker", "broker_connections", socket="control") == 2
    assert read("broker", "broker_notes_total") >= 1
    assert read("broker", "broker_write_seconds_count") >= 1
    eventually(lambda: read("broker", "broker_forwarded_total") >= 1)


def test_a_subscriber_shows_its_metrics_at_both_addresses(monitored: Monitored) -> None:
    assert monitored.value("subscriber", "root_up", root="foo") == 1
    assert monitored.stack.metric("root_up") == 1


@pytest.mark.parametrize("kind", ["broker", "publisher", "subscriber"])
def test_each_lives_and_is_ready(monitored: Monitored, kind: str) -> None:
    status, text = monitored.get(kind, "healthz")
    assert (status, json.loads(text)) == (200, {"status": "ok"})
    status, text = monitored.get(kind, "readyz")
    assert (status, json.loads(text)) == (200, {"status": "ready", "reason": ""})
    assert monitored.get(kind, "api/roots")[0] == 404


def test_a_publisher_without_a_broker_is_not_ready(monitored: Monitored) -> None:
    monitored.stack.kill("bro")
    eventually(lambda: monitored.get("publisher", "readyz")[0] == 503)
    assert "not registered" in json.loads(monitored.get("publisher", "readyz")[1])["reason"]
    eventually(lambda: monitored.value("subscriber", "broker_up") == 0)
    assert monitored.get("subscriber", "readyz")[0] == 200  # it serves what is cached
    monitored.stack.start_broker()
    eventually(lambda: monitored.get("publisher", "readyz")[0] == 200)
    eventually(lambda: monitored.value("subscriber", "broker_up") == 1)
