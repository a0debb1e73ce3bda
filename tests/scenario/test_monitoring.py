"""Services say how they are: metrics and health of all three at addresses of their own"""

from __future__ import annotations

import contextlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import caterva2
from tests.conftest import Stack, cat2cli, eventually, example_root
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


def ill(directory: Path) -> Path:
    """A root with a file whose chunk is damaged, and one that is larger than the cache."""
    noise = np.random.default_rng(1).integers(0, 2**60, (10, 5000))
    blosc2.asarray(noise, chunks=(1, 5000), urlpath=str(directory / "large.b2nd"))
    path = directory / "broken.b2nd"
    array = blosc2.asarray(np.arange(1000), chunks=(100,), blocks=(50,), urlpath=str(path))
    chunk = array.schunk.get_chunk(2)
    del array
    data = bytearray(path.read_bytes())
    at = data.index(chunk) + 32
    data[at : at + len(chunk) - 32] = bytes(len(chunk) - 32)
    path.write_bytes(data)
    return directory


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    stack = Stack(tmp_path_factory.mktemp("monitored"))
    try:
        made = Monitored(stack)
        stack.configure('quota = "200kB"\n[limits.subscriber]\nevent_listeners = 1\n')
        stack.start(foo=example_root())
        source = ill(tmp_path_factory.mktemp("ill"))
        stack.start_publisher("ill", source, "pub-ill", given=("--metrics", ""))
        stack.subscribe("ill")
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
    assert read("broker", "broker_leases") == read("broker", "broker_names") == 2
    assert read("broker", "broker_holders") == 2
    assert read("broker", "broker_connections", socket="control") == 3
    assert read("broker", "broker_notes_total") >= 1
    assert read("broker", "broker_write_seconds_count") >= 1
    eventually(lambda: read("broker", "broker_forwarded_total") >= 1)


def test_a_subscriber_shows_its_metrics_at_both_addresses(monitored: Monitored) -> None:
    assert monitored.value("subscriber", "root_up", root="foo") == 1
    assert monitored.stack.metric("root_up") == 2


@pytest.mark.parametrize("kind", ["broker", "publisher", "subscriber"])
def test_each_lives_and_is_ready(monitored: Monitored, kind: str) -> None:
    status, text = monitored.get(kind, "healthz")
    assert (status, json.loads(text)) == (200, {"status": "ok"})
    ready = 200, '{"status": "ready", "reason": ""}'
    eventually(lambda: monitored.get(kind, "readyz") == ready)  # a slow machine may have stalled
    assert monitored.get(kind, "api/roots")[0] == 404


def read(monitored: Monitored, name: str) -> None:
    with contextlib.suppress(caterva2.HttpError):
        monitored.stack.client.fetch(f"ill/{name}.b2nd")


def too_many(monitored: Monitored) -> None:
    with monitored.stack.open("api/events"), pytest.raises(urllib.error.HTTPError, match="429"):
        monitored.stack.open("api/events")


def loses_its_publisher(monitored: Monitored) -> None:
    monitored.stack.kill("pub-ill")


FAULTS: dict[str, tuple[Callable[[Monitored], None], str]] = {
    "broken-file": (lambda monitored: read(monitored, "broken"), "ill/broken.b2nd"),
    "cache-full": (lambda monitored: read(monitored, "large"), "ill/large.b2nd"),
    "refused": (too_many, "EVENT_LISTENERS"),
    "root-offline": (loses_its_publisher, "root ill"),
}


def test_all_is_well_before_anything_happens(monitored: Monitored) -> None:
    problems = monitored.stack.client.status()["problems"]
    assert {one["problem"] for one in problems} <= {"slow-disk", "slow-link"}  # of this machine
    done = cat2cli("status", "--url", monitored.stack.url)
    assert (done.returncode, done.stderr) == (int(bool(problems)), "")
    lines = done.stdout.splitlines()
    assert ("all is well" in lines) == (not problems)
    assert "broker    up, heard" in done.stdout
    root = re.compile(
        r"  up      foo at 127.0.0.1:\d+, lease 10 s, fence 1, followed, revision \d+, heard "
    )
    assert any(map(root.match, lines))
    assert len(lines) < 24
    page = monitored.stack.open("status", Accept="text/html").read().decode()
    assert ("All is well." in page) == (not problems)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_a_metric_the_log_and_the_status(
    monitored: Monitored, fault: str
) -> None:
    """A slow disk is that of `tests/wire/test_slow_disk.py`."""
    cause, words = FAULTS[fault]
    cause(monitored)

    def problem() -> dict[str, Any]:
        found = monitored.stack.client.status()["problems"]
        return next((one for one in found if one["problem"] == fault), {})

    shown = eventually(problem)
    assert words in shown["text"]
    assert shown["todo"]
    done = cat2cli("status", "--url", monitored.stack.url)
    assert done.returncode == 1
    assert f"  {fault}: {shown['text']}" in done.stdout
    assert shown["todo"] in done.stdout
    page = monitored.stack.open("status", Accept="text/html").read().decode()
    assert f"<strong>{fault}</strong>: " in page
    assert "All is well." not in page
    if fault == "root-offline":
        assert monitored.value("subscriber", "root_up", root="ill") == 0
        assert "root ill is offline" in monitored.stack.log("sub")
    else:
        assert monitored.value("subscriber", "faults_total", fault=fault) >= 1
        assert re.search(rf"WARNING .*{fault}: .*{words}", monitored.stack.log("sub"))


def test_a_publisher_without_a_broker_is_not_ready(monitored: Monitored) -> None:
    monitored.stack.kill("bro")
    eventually(lambda: monitored.get("publisher", "readyz")[0] == 503)
    assert "not registered" in json.loads(monitored.get("publisher", "readyz")[1])["reason"]
    eventually(lambda: monitored.value("subscriber", "broker_up") == 0)
    eventually(lambda: monitored.get("subscriber", "readyz")[0] == 200)  # what is cached is served
    monitored.stack.start_broker()
    eventually(lambda: monitored.get("publisher", "readyz")[0] == 200)
    eventually(lambda: monitored.value("subscriber", "broker_up") == 1)
