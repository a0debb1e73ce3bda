"""Small slices by the subscriber alone and by workers, with a client in C that costs little."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import blosc2

from benchmarks import data, report
from benchmarks.measuring import client
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, eventually
from caterva2.rest import stream

PATH = f"{ROOT}/A.b2nd"
CONNECTIONS = 64
SECONDS = 4
RATIO, P99, OF_A_SECOND = 1.7, 30.0, 9000
HEAD = f"Host: localhost\r\nAccept: {stream.MEDIA_TYPE}\r\n"


@dataclass(frozen=True, slots=True)
class Found:
    """What one load found: slices, how many a second, and a second of processor time."""

    rate: float
    of_a_second: float
    p99: float


class Loaded:
    """A subscriber with workers, all of whose data is cached, and a client."""

    def __init__(self, running: Services, count: int, load: Path, side: int) -> None:
        self._running, self._load, self._side = running, load, str(side)
        client("read", running.url, PATH)
        if count > 1:
            eventually(lambda: running.metric("workers") == count)
        log = running.state("sub.log").read_text()
        pids = [running.children["sub"].process.pid]
        self._pids = pids + list(map(int, re.findall(r"worker \d+ is process (\d+)", log)))
        self.run(1)  # workers have their permissions then

    def run(self, seconds: float = SECONDS) -> Found:
        before = self._used()
        port, target = self._running.url.rpartition(":")[2], f"/api/fetch/{PATH}?slice_=%d:%d,%d:%d"
        done = subprocess.run(
            [str(self._load), port, str(CONNECTIONS), str(seconds), target, HEAD, self._side],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        count, errors, took, _, p99, _ = map(float, done.stdout.split())
        assert not errors, f"{errors:.0f} requests failed"
        return Found(count / took, count / (self._used() - before), p99 / 1e6)

    def _used(self) -> float:
        """Seconds of processor time of the subscriber and its workers."""
        times = (Path(f"/proc/{pid}/schedstat").read_text().split()[0] for pid in self._pids)
        return sum(map(int, times)) / 1e9

    def memory(self) -> float:
        """Memory of the largest worker in bytes."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids[1:]]
        return max(pages, default=0) * 4096.0


@contextmanager
def loaded(place: Path, source: Path, count: int, load: Path, side: int) -> Iterator[Loaded]:
    running = Services(place, source, subscriber=("--workers", str(count)))
    try:
        running.published()
        yield Loaded(running, count, load, side)
    finally:
        running.stop()


def run(scale: Scale, place: Path) -> report.Table:
    source, load = place / "data", place / "load"
    source.mkdir()
    side = min(blosc2.open(str(data.write_a(source, scale.a_chunks))).shape)
    code = Path(__file__).parents[1] / "load.c"
    subprocess.run(["cc", "-O2", "-o", str(load), str(code)], check=True)
    table = report.Table("workers", ("what", "found", "of one", "bar"))
    with ExitStack() as stack:
        both = {
            count: stack.enter_context(
                loaded(place / f"services{count}", source, count, load, side)
            )
            for count in (1, 2)
        }
        found: dict[int, list[Found]] = {count: [] for count in both}
        for _ in range(scale.runs):
            for count, one in both.items():
                found[count].append(one.run())
        best = {
            n: sorted(runs, key=lambda run: run.rate)[len(runs) // 2] for n, runs in found.items()
        }
        for count, middle in best.items():
            ratio = middle.rate / best[1].rate
            bar = report.at_least(ratio, RATIO, " x") if count > 1 else ""
            who = f"{count} workers" if count > 1 else "the subscriber alone"
            table.add(f"{who}: slices", f"{middle.rate:.0f} /s", report.times(ratio), bar)
            table.add(
                f"{who}: slices a second of processor time", f"{middle.of_a_second:.0f}",
                report.times(middle.of_a_second / best[1].of_a_second),
                report.at_least(middle.of_a_second, OF_A_SECOND),
            )  # fmt: skip
            table.add(
                f"{who}: p99 of {CONNECTIONS} connections", report.time(middle.p99), "",
                report.at_most(middle.p99 * 1e3, P99, " ms"),
            )  # fmt: skip
        memory = both[2].memory() / 1e6
        table.add("memory of a worker", f"{memory:.0f} MB", "", report.at_most(memory, 100, " MB"))
    return table
