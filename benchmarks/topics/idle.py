"""How often services wake up when there is nothing to do."""

from __future__ import annotations

import re
import time
from pathlib import Path

from benchmarks import report
from benchmarks.scale import Scale
from benchmarks.services import Services, services

SETTLED_S = 5.0
"""Seconds after which a start is over: modules are loaded in the background."""
BAR = 10.0
_SWITCHES = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)


def switches(pid: int) -> int:
    """Times that the threads of a process have waited for something."""
    tasks = Path(f"/proc/{pid}/task").glob("*/status")
    return sum(int(found[1]) for task in tasks if (found := _SWITCHES.search(task.read_text())))


def rates(running: Services, seconds: float) -> dict[str, float]:
    """Wake-ups a second of each service."""
    pids = {name: child.process.pid for name, child in running.children.items()}
    before = {name: switches(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    return {name: (switches(pid) - before[name]) / seconds for name, pid in pids.items()}


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    (source / "README.md").write_text("# Data\n")
    table = report.Table("idle", ("what", "wake-ups a second", "bar"))
    with services(place / "services", source) as running:
        time.sleep(SETTLED_S)
        for name, rate in rates(running, scale.idle).items():
            table.add(f"idle cat2{name}", f"{rate:.1f}", report.at_most(rate, BAR))
    return table
