"""What one more costs when there are many already: chunks, clients, datasets in the cache.

What a dataset of a root costs, `benchmarks.topics.catalogs` tells for small and large roots.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks import data, report
from benchmarks.measuring import client, seconds
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, eventually, services
from benchmarks.topics import slices

PROCESSES = 4
"""Of readers at most; more readers are threads in them."""


class Curve:
    """Rows of one thing that grows: cost a unit at each step, against the first step's."""

    def __init__(self, table: report.Table, what: str) -> None:
        self._table = table
        self._what = what
        self._first = 0.0

    def add(self, count: int, took: float, units: float) -> None:
        each = took / units
        self._first = self._first or each
        self._table.add(
            self._what,
            f"{count:,}",
            report.time(took),
            report.time(each),
            report.times(each / self._first),
        )


def run(scale: Scale, place: Path) -> report.Table:
    columns = ("what", "how many", "time", "each", "of the first step's")
    table = report.Table("growth", columns)
    chunks(table, scale, place / "chunks")
    clients(table, scale, place / "clients")
    cache(table, scale, place / "cache")
    return table


def chunks(table: report.Table, scale: Scale, place: Path) -> None:
    """One dataset of more and more tiny chunks."""
    source = place / "data"
    source.mkdir(parents=True)
    for count in scale.chunk_counts:
        data.write_tiny_chunks(source / f"{count}.b2nd", count)
    names = ("cold read, by chunks", "warm read, by chunks", "one slice, by chunks of its array")
    cold, warm, slice_ = (Curve(table, name) for name in names)
    found = {}
    with services(place / "services", source) as running:
        for count in scale.chunk_counts:
            path = f"{ROOT}/{count}.b2nd"
            found[count] = (
                client("read", running.url, path)[0],
                client("read", running.url, path)[0],
                sorted(first_items(running, path))[2],
            )
    for n, curve in enumerate((cold, warm, slice_)):
        for count, times in found.items():
            curve.add(count, times[n], 1 if curve is slice_ else count)


def first_items(running: Services, path: str) -> list[float]:
    opened = running.client
    return [seconds(lambda: opened.fetch(path, slice(5, 15))) for _ in range(5)]


def clients(table: report.Table, scale: Scale, place: Path) -> None:
    """More and more clients that read small slices of what is cached."""
    source = place / "data"
    source.mkdir(parents=True)
    data.write_a(source, scale.a_chunks)
    curve = Curve(table, "a warm slice, by clients")
    with services(place / "services", source) as running:
        client("read", running.url, slices.PATH)
        for count in scale.clients:
            processes = min(count, PROCESSES)
            rate, _ = slices.rate(running.url, scale.slices, processes, count // processes)
            curve.add(count, 1 / rate, 1)


def cache(table: report.Table, scale: Scale, place: Path) -> None:
    """A cache of more and more datasets: each one's cost, and a subscriber's restart on it."""
    source = place / "data"
    names = ("a dataset into the cache, by those in it", "subscriber's restart, by datasets in it")
    fill, back = (Curve(table, name) for name in names)
    steps = [0, *scale.cached]
    for before, count in pairwise(steps):
        data.write_small(source / f"to{count}", count - before)
    found = {}
    with services(place / "services", source) as running:
        eventually(lambda: len(running.client.get_list(ROOT)) == scale.cached[-1])
        for before, count in pairwise(steps):
            took = seconds(partial(prefetched, running, f"{ROOT}/to{count}"))
            found[count] = took, count - before, restarted(running)
    for count, (took, new, _) in found.items():
        fill.add(count, took, new)
    for count, (_, _, took) in found.items():
        back.add(count, took, 1)


def prefetched(running: Services, path: str) -> None:
    asking = running.client
    asking.prefetch(path)
    eventually(lambda: asking.get_prefetch(path)["state"] == "done", 600)


def restarted(running: Services) -> float:
    """Seconds of a subscriber's restart until it answers from its cache."""
    running.stop_one("sub")
    began = time.perf_counter()
    running.start_subscriber()
    eventually(lambda: bool(running.client.get_list(ROOT)))
    return time.perf_counter() - began
