"""Over a wide-area link: 100 ms round trip, 100 Mbit/s, on either side of the subscriber."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import data, report
from benchmarks.client import timed
from benchmarks.measuring import client, interleaved
from benchmarks.scale import Scale
from benchmarks.services import (
    ROOT,
    WAN_BANDWIDTH,
    WAN_DELAY,
    Services,
    eventually,
    services,
    wide_area,
)

_Read = Callable[[str, int], float]
ROUND_TRIP = 2 * WAN_DELAY
SLICES = 5
SMALL = 500
READ_BAR, SLICE_BAR = 1.15, 2.0


def run(scale: Scale, place: Path) -> report.Table:
    runs = min(scale.runs, 2)  # the link is the same each time
    source = place / "data"
    source.mkdir()
    sizes = {
        "A": data.write_a(source, scale.a_chunks, runs + 2 * SLICES).stat().st_size,
        "B": data.write_b(source, scale.b_chunks, runs).stat().st_size,
    }
    table = report.Table("widearea", ("what", "time", "ideal", "ratio", "bar"))
    data.write_small(source / "small", SMALL)
    with services(place / "services", source, linked=True) as running:
        far_publisher(table, running, runs, sizes)
        far_client(table, running, runs, sizes)
    return table


def far_publisher(table: report.Table, running: Services, runs: int, sizes: dict[str, int]) -> None:
    url = running.url
    fresh = [f"{ROOT}/A{n}.b2nd" for n in range(runs, runs + 2 * SLICES)]
    near = client("one_slice", url, *fresh[:SLICES])
    before = running.data.carried + running.data.asked
    with wide_area(running.data):
        far = client("one_slice", url, *fresh[SLICES:])
        crossed = (running.data.carried + running.data.asked - before) / SLICES
        whole(
            table, "publisher far away, cold", runs, sizes,
            lambda name, n: client("read", url, f"{ROOT}/{name}{n}.b2nd")[0],
        )  # fmt: skip
        prefetch(table, running)
    what = "publisher far away: one cold slice of a new dataset"
    trips(table, what, statistics.median(far), statistics.median(near))
    times = report.times(crossed / 800, "the slice")
    table.add("the same: bytes over the link for a slice of 800", f"{crossed:.0f}", "", times)


def prefetch(table: report.Table, running: Services) -> None:
    below, client = f"{ROOT}/small", running.client

    def fetch() -> None:
        client.prefetch(below)
        eventually(lambda: client.get_prefetch(below)["state"] == "done")

    took = timed(fetch)
    what = f"publisher far away: prefetch of {SMALL} small datasets"
    each = f"{took / SMALL / ROUND_TRIP:.2f} round trips each"
    table.add(what, report.time(took), report.time(ROUND_TRIP), each)


def far_client(table: report.Table, running: Services, runs: int, sizes: dict[str, int]) -> None:
    url = running.far_url
    path = f"{ROOT}/A.b2nd"
    for name in sizes:
        client("read", running.url, f"{ROOT}/{name}.b2nd")
    near = client("one_slice", running.url, *[path] * SLICES)
    with wide_area(running.web):
        far = client("one_slice", url, *[path] * SLICES)
        whole(
            table,
            "client far away, warm",
            runs,
            sizes,
            lambda name, _: client("read", url, f"{ROOT}/{name}.b2nd")[0],
        )
    trips(
        table, "client far away: one cached slice", statistics.median(far), statistics.median(near)
    )


def whole(table: report.Table, where: str, runs: int, sizes: dict[str, int], read: _Read) -> None:
    """Whole reads, against what the link allows."""
    rounds = {name: iter(range(runs)) for name in sizes}

    def turn(name: str) -> float:
        return read(name, next(rounds[name]))

    found = interleaved(runs, {name: partial(turn, name) for name in sizes})
    for name, took in found.items():
        ideal = sizes[name] / WAN_BANDWIDTH
        bar = READ_BAR * ideal + 3 * ROUND_TRIP
        table.add(
            f"{where}: {name}",
            report.time(took),
            report.time(ideal),
            report.times(took / ideal),
            report.at_most(took, round(bar, 2), " s"),
        )


def trips(table: report.Table, what: str, took: float, near: float) -> None:
    """Round trips that something takes: what it takes longer than without the link."""
    count = (took - near) / ROUND_TRIP
    table.add(
        what,
        report.time(took),
        report.time(ROUND_TRIP),
        f"{count:.1f} round trips",
        report.at_most(round(count, 1), SLICE_BAR),
    )
