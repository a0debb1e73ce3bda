"""Arrays read as Zarr, without a plugin, against our own client: all of A, and 10x10 out of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from benchmarks import data, measuring, report
from benchmarks.measuring import client
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, services

BAR = 1.5
PATH, PLACE = f"{ROOT}/A.b2nd", f"{ROOT}/A"
READERS = ("tensorstore", "zarr_obstore")


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    data.write_a(source, scale.a_chunks)
    table = report.Table("zarr", ("what", "our client", *READERS, "bar of tensorstore"))
    with services(place / "services", source) as running:
        client("read", running.url, PATH)
        whole(table, scale, running)
        small(table, scale, running)
    return table


def whole(table: report.Table, scale: Scale, running: Services) -> None:
    """All of A, warm."""
    works: dict[str, Callable[[], float]] = {"ours": lambda: client("read", running.url, PATH)[0]}
    for reader in READERS:
        works[reader] = lambda reader=reader: client(reader, running.url, PLACE, "0")[0]  # type: ignore[misc]
    found = measuring.interleaved(scale.runs, works)
    _row(table, "warm read of A", report.time, found)


def small(table: report.Table, scale: Scale, running: Services) -> None:
    """Slices of A, when the indices of its shards are known: seconds, and the subscriber's."""
    many = str(scale.slices)
    works: dict[str, Callable[[], list[float]]] = {
        "ours": lambda: client("slices", running.url, PATH, many, "1")
    }
    for reader in READERS:
        works[reader] = lambda reader=reader: client(reader, running.url, PLACE, many)  # type: ignore[misc]
        client(reader, running.url, PLACE, "0")
    clocks: dict[str, float] = {}
    spent: dict[str, list[float]] = {name: [] for name in works}

    def timed(name: str) -> float:
        before = processor_time(running)
        times = works[name]()
        spent[name].append((processor_time(running) - before) / len(times))
        return measuring.quantile(times, 0.5)

    clocks = measuring.interleaved(
        scale.runs,
        {name: (lambda name=name: timed(name)) for name in works},  # type: ignore[misc]
    )
    _row(table, "slice of 10x10", report.time, clocks)
    cpu = {name: measuring.quantile(found, 0.5) for name, found in spent.items()}
    _row(table, "processor time of the subscriber for a slice", report.time, cpu)


def processor_time(running: Services) -> float:
    """Seconds that the subscriber has used."""
    pid = running.children["sub"].process.pid
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _row(
    table: report.Table, what: str, shown: Callable[[float], str], found: dict[str, float]
) -> None:
    ours = found["ours"]
    cells = [f"{shown(found[one])} ({report.times(found[one] / ours)})" for one in READERS]
    bar = "" if what == "slice of 10x10" else report.at_most(found["tensorstore"] / ours, BAR)
    table.add(what, shown(ours), *cells, bar)
