"""Roots of many small datasets: until they are listed, at a restart, and opened all at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks import data, measuring, report
from benchmarks.measuring import client, seconds
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, eventually

START_BARS = {1000: 0.7, 100_000: 15.0}
RESTART_BAR = 3.0
OPEN_BAR = 0.12
IMPORT = "import caterva2.cli.cat2pub, caterva2.publisher.service"


def walked(directory: Path) -> None:
    """Look at each file's times, as any publisher must."""
    for where, _, names in os.walk(directory):
        for name in names:
            os.stat(f"{where}/{name}")


def imported() -> None:
    subprocess.run([sys.executable, "-c", IMPORT], check=True, cwd=measuring.TOP)


def listed(running: Services, count: int) -> None:
    """Wait until a client is told of all datasets, from the publisher of now."""

    def all_there() -> bool:
        client = running.client
        root = client.get_roots().get(ROOT)
        if root is None or root.get("offline"):
            return False
        client.subscribe(ROOT)
        return len(client.get_list(ROOT)) == count

    eventually(all_there, 600)


def started(running: Services, count: int) -> float:
    """Seconds from a publisher's start until a client lists all its datasets."""

    def start() -> None:
        running.start_publisher()
        listed(running, count)

    return seconds(start)


def restarted(running: Services, count: int) -> float:
    running.stop_one("pub")
    eventually(lambda: running.client.get_roots()[ROOT].get("offline") is True)
    return started(running, count)


def subscriber_restarted(running: Services, count: int) -> float:
    running.stop_one("sub")

    def start() -> None:
        running.start_subscriber()
        listed(running, count)

    return seconds(start)


def run(scale: Scale, place: Path) -> report.Table:
    table = report.Table("catalogs", ("what", "time", "a dataset", "bar"))
    table.add("start of an empty publisher's process (imports)", report.time(seconds(imported)))
    for count in scale.roots:
        one_root(table, scale, place / str(count), count)
    return table


def one_root(table: report.Table, scale: Scale, place: Path, count: int) -> None:
    source = place / "data"
    data.write_small(source, count)
    look = seconds(lambda: walked(source))
    running = Services(place / "services", source)
    try:
        first = started(running, count)
        again = restarted(running, count)
        back = subscriber_restarted(running, count)
        what = f"{count:,} datasets"
        row(table, f"{what}: their files looked at", look, count)
        row(
            table,
            f"{what}: publisher's start until all are listed",
            first,
            count,
            report.at_most(first, START_BARS[count], " s") if count in START_BARS else "",
        )
        row(
            table,
            f"{what}: publisher's restart, nothing changed",
            again,
            count,
            report.at_most(again, RESTART_BAR, " s"),
        )
        row(table, f"{what}: subscriber's restart until all are listed", back, count)
        listing = seconds(lambda: running.client.get_list(ROOT))
        row(table, f"{what}: one listing", listing, count)
        peaks = ", ".join(f"{k} {report.megabytes(v)}" for k, v in running.peaks().items())
        table.add(f"{what}: peak memory", peaks)
        if count == scale.roots[0]:
            took, found, requests = client("open_all", running.url, ROOT)
            what = f"{found:,.0f} datasets opened with their metadata, {requests:.0f} requests"
            row(table, what, took, count, report.at_most(took, OPEN_BAR, " s"))
            took, found, requests = client("open_all", running.url, ROOT)
            row(table, f"the same again, {requests:.0f} requests", took, count)
    finally:
        running.stop()


def row(table: report.Table, what: str, took: float, count: int, bar: str = "") -> None:
    table.add(what, report.time(took), report.time(took / count), bar)
