"""The dashboard and the alerts for Prometheus name metrics that are there, and are valid"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from caterva2.runtime.metrics import Counter, Family, Gauge, Histogram, MemoryMetrics
from caterva2.runtime.monitoring import exposition

TOP = Path(__file__).parents[2]
MONITORING = TOP / "conf/monitoring"
MODULES = (
    "broker.monitoring", "integrations.cluster.connection", "mirror.service",
    "publisher.monitoring",
    "runtime.monitoring.faults", "runtime.monitoring.loop_delay", "runtime.monitoring.process",
    "special.roots", "subscriber.fetch.traffic", "subscriber.monitoring.measured",
    "web.middleware.latency", "workers.pool",
)  # fmt: skip
NAME = re.compile(r"\b(?:caterva2|process)_[a-z_]+\b")


def families() -> list[Family]:
    """All metrics that are declared."""
    kinds = (Counter, Gauge, Histogram)
    modules = [importlib.import_module(f"caterva2.{name}") for name in MODULES]
    return [each for module in modules for each in vars(module).values() if isinstance(each, kinds)]


def series() -> set[str]:
    """The names of all series that services have."""
    made = set()
    for family in families():
        endings = ("_bucket", "_sum", "_count") if isinstance(family, Histogram) else ("",)
        made.update(family.name + ending for ending in endings)
    return made


def expressions() -> list[str]:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_all_metrics_are_documented() -> None:
    text = (TOP / "docs/monitoring.md").read_text()
    assert set(re.findall(r"^\| `((?:caterva2|process)_\w+)", text, re.MULTILINE)) == {
        family.name for family in families()
    }


@pytest.mark.parametrize("file", ["alerts.yml", "alerts.test.yml"])
def test_alerts_are_about_metrics_that_there_are(file: str) -> None:
    found = set(NAME.findall((MONITORING / file).read_text()))
    assert len(found) > 4
    assert found <= series()


def test_panels_show_metrics_that_there_are() -> None:
    found = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(found) > 20
    assert found <= series()


def test_panels_lie_beside_each_other() -> None:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def promtool(*arguments: str, stdin: str = "", cwd: Path = MONITORING) -> str:
    """Run Prometheus's own checks: Debian has them in the package prometheus."""
    program = os.environ.get("CAT2_PROMTOOL") or shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool: install it, or name it by CAT2_PROMTOOL")
    done = subprocess.run(
        [program, *arguments], cwd=cwd, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_alerts_fire_as_they_should() -> None:
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


@pytest.mark.slow
def test_panels_are_valid_expressions(tmp_path: Path) -> None:
    rules = [{"record": f"panel_{n}", "expr": each} for n, each in enumerate(expressions())]
    written = json.dumps({"groups": [{"name": "panels", "rules": rules}]})  # JSON is YAML
    (tmp_path / "panels.yml").write_text(written)
    assert "SUCCESS" in promtool("check", "rules", "panels.yml", cwd=tmp_path)


@pytest.mark.slow
def test_metrics_follow_the_conventions_of_prometheus() -> None:
    metrics = MemoryMetrics()
    for family in families():
        if isinstance(family, Counter):
            metrics.inc(family)
        elif isinstance(family, Gauge):
            metrics.set(family, 1)
        else:
            metrics.observe(family, 0.5)
    assert promtool("check", "metrics", stdin=exposition.text(metrics)) == ""
