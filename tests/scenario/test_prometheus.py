"""A real Prometheus reads the metrics of all services, and its alerts fire"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Stack, eventually, example_root

MONITORING = Path(__file__).parents[2] / "conf/monitoring"
KINDS = ("broker", "subscriber", "publisher")
PATIENCE_S = 60.0


class Prometheus:
    """A server with the settings and the rules of ``conf``, which waits less."""

    def __init__(self, program: str, place: Path, addresses: dict[str, str]) -> None:
        settings = (MONITORING / "prometheus.yml").read_text()
        for kind, address in addresses.items():
            settings = re.sub(
                rf"(caterva2-{kind}\n.*\n.*targets: \[)\"\S+\"", rf'\1"{address}"', settings
            )
        settings = f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n{settings}"
        (place / "prometheus.yml").write_text(settings)
        rules = (MONITORING / "alerts.yml").read_text()
        (place / "alerts.yml").write_text(re.sub(r"for: \w+", "for: 1s", rules))
        self.log = place / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    program, f"--config.file={place}/prometheus.yml",
                    f"--storage.tsdb.path={place}/data", "--web.listen-address=127.0.0.1:0",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip

    def ask(self, path: str) -> Any:
        found = re.search(r"Listening on\"? address=(127\S+)", self.log.read_text())
        if not found:
            assert self.process.poll() is None, self.log.read_text()
            return {}
        try:
            url = f"http://{found[1]}/api/v1/{path}"
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                assert error.code == 503, error  # until it has started
                return {}

    def up(self) -> dict[str, str]:
        """The health of each target."""
        found = self.ask("targets").get("activeTargets", ())
        return {one["labels"]["job"].removeprefix("caterva2-"): one["health"] for one in found}

    def rules(self) -> dict[str, str]:
        """The state of each rule that was evaluated without an error."""
        groups = self.ask("rules").get("groups", ())
        rules = [rule for group in groups for rule in group["rules"]]
        return {one["name"]: one["state"] for one in rules if one["health"] == "ok"}


@pytest.fixture
def program() -> str:
    found = os.environ.get("CAT2_PROMETHEUS") or shutil.which("prometheus")
    if not found:
        pytest.skip("there is no Prometheus: install it, or name it by CAT2_PROMETHEUS")
    return found


@pytest.fixture
def addresses(stack: Stack) -> dict[str, str]:
    ports = {kind: stack.hold_port() for kind in KINDS}
    for kind, port in ports.items():
        stack.configure(f'[{kind}]\nmetrics = "{port.address}"\n')
    stack.start(foo=example_root())
    return {kind: port.address for kind, port in ports.items()}


@pytest.fixture
def prometheus(program: str, addresses: dict[str, str], tmp_path: Path) -> Iterator[Prometheus]:
    (tmp_path / "prometheus").mkdir()
    made = Prometheus(program, tmp_path / "prometheus", addresses)
    yield made
    made.process.terminate()
    try:
        made.process.wait(20)
    finally:
        made.process.kill()


@pytest.mark.slow
def test_it_reads_all_services_and_says_that_a_publisher_is_gone(
    prometheus: Prometheus, stack: Stack
) -> None:
    eventually(lambda: prometheus.up() == dict.fromkeys(KINDS, "up"), PATIENCE_S)
    declared = re.findall(r"alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    eventually(lambda: prometheus.rules().keys() == set(declared), PATIENCE_S)
    assert prometheus.rules()["Caterva2Down"] == "inactive"
    assert prometheus.rules()["Caterva2RootOffline"] == "inactive"
    stack.kill("pub-foo")
    eventually(lambda: prometheus.rules()["Caterva2Down"] == "firing", PATIENCE_S)
    eventually(lambda: prometheus.rules()["Caterva2RootOffline"] == "firing", PATIENCE_S)
    assert prometheus.up() == {"broker": "up", "subscriber": "up", "publisher": "down"}
