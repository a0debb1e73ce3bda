"""Memory, bytes on the wire and stalls, while many read what nobody has read before."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks import data, measuring, report
from benchmarks.measuring import client
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, services
from tests.fault.proxy import Proxy

CLIENTS = 8
SLICE_BYTES = 800
MEMORY_BAR = 150.0
STALL_BAR = 50.0


def carried(proxy: Proxy) -> int:
    """Bytes that went over a link, both ways."""
    return proxy.carried + proxy.asked


class Meter:
    """Bytes that cross the links while something is done."""

    def __init__(self, running: Services) -> None:
        self._running = running
        self._before = self._now()

    def _now(self) -> tuple[int, int]:
        return carried(self._running.data), carried(self._running.web)

    def crossed(self) -> tuple[int, int]:
        """Bytes between publisher and subscriber, and between subscriber and client, since."""
        before, self._before = self._before, self._now()
        return self._before[0] - before[0], self._before[1] - before[1]


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    sizes = {
        "A": data.write_a(source, scale.a_chunks, 2).stat().st_size,
        "B": data.write_b(source, scale.b_chunks, 2).stat().st_size,
    }
    stack = data.write_stack(source).stat().st_size
    table = report.Table("resources", ("what", "found", "of what is needed", "bar"))
    with services(place / "services", source, linked=True) as running:
        time.sleep(1.0)  # so that what a start takes is there
        memory(table, "at the start", running)
        for name, size in sizes.items():
            one_reader(table, running, name, size)
        shared(table, scale, running, sizes)
        small(table, running)
        profile(table, running, stack / 16)
        memory(table, "in the end", running)
        stall = running.metric("loop_longest_stall_seconds") * 1000
        table.add(
            "longest stall of the subscriber's loop",
            f"{stall:.0f} ms",
            "",
            report.at_most(stall, STALL_BAR, " ms"),
        )
    return table


def memory(table: report.Table, when: str, running: Services) -> None:
    for name, peak in running.peaks().items():
        table.add(
            f"peak memory of cat2{name} {when}",
            report.megabytes(peak),
            "",
            report.at_most(peak / 1e6, MEMORY_BAR, " MB"),
        )


def one_reader(table: report.Table, running: Services, name: str, size: int) -> None:
    meter = Meter(running)
    client("read", running.far_url, f"{ROOT}/{name}.b2nd")
    near, far = meter.crossed()
    links = (("publisher to subscriber", near), ("subscriber to client", far))
    for link, count in links:
        table.add(
            f"{name}, cold read: bytes from {link}",
            report.megabytes(count),
            report.times(count / size, "the file"),
        )


def shared(table: report.Table, scale: Scale, running: Services, sizes: dict[str, int]) -> None:
    """Several clients that want the same for the first time, at once."""
    for name, count in (("A", scale.a_chunks), ("B", scale.b_chunks)):
        alone = measuring.at_once(1, "read", running.url, f"{ROOT}/{name}0.b2nd")[1][0]
        meter, before = Meter(running), running.metric("fetched_chunks_total")
        _, found = measuring.at_once(CLIENTS, "read", running.url, f"{ROOT}/{name}1.b2nd")
        fetched = running.metric("fetched_chunks_total") - before
        slowest = max(found)
        table.add(
            f"{name}, {CLIENTS} clients at once on a cold dataset: slowest",
            report.time(slowest),
            report.times(slowest / alone, "one client alone"),
        )
        table.add(
            f"{name}, the same: chunks fetched",
            f"{fetched:.0f}",
            report.times(fetched / count, "all chunks"),
            report.at_most(fetched / count, 1.0, " x"),
        )
        table.add(
            f"{name}, the same: bytes from publisher to subscriber",
            report.megabytes(meter.crossed()[0]),
            "the file is " + report.megabytes(sizes[name]),
        )


def profile(table: report.Table, running: Services, needed: float) -> None:
    """What one pixel of all frames of a stack costs, when nothing of it is cached."""
    array: Any = running.client.get(f"{ROOT}/S.b2nd")
    meter = Meter(running)
    array[:, 300, 300]
    near = meter.crossed()[0]
    table.add(
        "a profile through a stack: bytes from publisher to subscriber",
        report.megabytes(near),
        report.times(near / needed, "the touched blocks"),
        report.at_most(near / needed, 1.2, " x"),
    )


def small(table: report.Table, running: Services) -> None:
    """What a slice of 10x10 costs on the wire."""
    client("one_slice", running.far_url, f"{ROOT}/A.b2nd")
    meter = Meter(running)
    client("one_slice", running.far_url, f"{ROOT}/A.b2nd")
    far = meter.crossed()[1]
    what = "a cached slice of 800 bytes: bytes to the client, connection included"
    table.add(what, f"{far}", report.times(far / SLICE_BYTES, "the slice"))
