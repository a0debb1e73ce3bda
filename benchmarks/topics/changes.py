"""A change on disk until a reader gets it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import blosc2
import numpy as np

from benchmarks import measuring, report
from benchmarks.scale import Scale
from benchmarks.services import ROOT, eventually, services
from caterva2.client import Client

PAUSE = 0.1
"""Seconds between a change that was seen and the next, so that each is one of its own."""


def write(file: Path, value: float) -> None:
    """Put another version in place, as a whole."""
    content = blosc2.asarray(np.full(1000, value), chunks=(1000,)).to_cframe()
    made = file.with_suffix(".new")
    made.write_bytes(content)
    made.rename(file)


def is_now(client: Client, value: float) -> bool:
    return bool(client.fetch(f"{ROOT}/x.b2nd", 0) == value)


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    file = source / "x.b2nd"
    write(file, 0.0)
    took = []
    with services(place / "services", source) as running:
        client = running.client
        for n in range(1, scale.changes + 1):
            time.sleep(PAUSE)
            write(file, float(n))
            began = time.perf_counter()
            eventually(partial(is_now, client, n), pause=0.001)
            took.append(time.perf_counter() - began)
    low, high = (measuring.quantile(took, share) for share in (0.5, 0.99))
    table = report.Table("changes", ("what", "time", "bar"))
    table.add(
        f"a change is read, p50 of {len(took)}", report.time(low), report.at_most(low, 0.15, " s")
    )
    table.add("p99", report.time(high), report.at_most(high, 1.0, " s"))
    return table
