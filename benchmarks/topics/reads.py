"""Whole reads of A and B, first and again."""

from __future__ import annotations

import itertools
from pathlib import Path

from benchmarks import data, measuring, report
from benchmarks.fileserver import file_server
from benchmarks.measuring import client, curl
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, services

COLD_BARS = {"A": 2.0, "B": 2.5}


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    data.write_a(source, scale.a_chunks, scale.runs)
    data.write_b(source, scale.b_chunks, scale.runs)
    table = report.Table("reads", ("what", "time", "ratio", "bar"))
    with (
        file_server(source, place / "server") as (files, name),
        services(place / "services", source) as running,
    ):
        for dataset in ("A", "B"):
            rows(table, dataset, measured(scale, running, files, dataset), name)
    return table


def measured(scale: Scale, running: Services, files: str, name: str) -> dict[str, float]:
    """Seconds of all kinds of reads of a dataset, taken in turns."""
    path, url = f"{ROOT}/{name}.b2nd", running.url
    client("read", url, path)
    fresh = itertools.count()
    return measuring.interleaved(
        scale.runs,
        {
            "decode": lambda: client("decode", str(Path(running.source) / f"{name}.b2nd"))[0],
            "static": lambda: curl(f"{files}/{name}.b2nd"),
            "sealed": lambda: curl(f"{url}/api/fetch/{path}"),
            "warm": lambda: client("read", url, path)[0],
            "cold": lambda: client("read", url, f"{ROOT}/{name}{next(fresh)}.b2nd")[0],
        },
    )


def rows(table: report.Table, name: str, took: dict[str, float], server: str) -> None:
    both = took["warm"] / (took["decode"] + took["sealed"])
    again = took["cold"] / took["warm"]
    bar = COLD_BARS[name]
    table.add(f"{name}: decompression alone", report.time(took["decode"]))
    table.add(f"{name}: curl from {server}", report.time(took["static"]))
    table.add(
        f"{name}: curl of the sealed file",
        report.time(took["sealed"]),
        report.times(took["sealed"] / took["static"], server),
    )
    table.add(
        f"{name}: warm read",
        report.time(took["warm"]),
        report.times(both, "(decompression + curl of the sealed file)"),
        report.at_most(both, 1.3) if name == "A" else "",
    )
    table.add(
        f"{name}: cold read",
        report.time(took["cold"]),
        report.times(again, "warm"),
        report.at_most(again, bar),
    )
