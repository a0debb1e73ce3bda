"""Small slices of what is cached, beside eight readers of the heaviest requests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks import data, measuring, report
from benchmarks.measuring import client
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, services
from benchmarks.topics.slices import spread
from caterva2.rest import media, stream
from caterva2.rest.values import layout

BAR = 50.0
PATH = f"{ROOT}/A.b2nd"
READERS = "8"
VALUES = layout.MEDIA_TYPE
HEAVY = {
    "whole reads, as chunks": (f"/api/fetch/{PATH}", stream.MEDIA_TYPE),
    "whole reads, as values": (f"/api/fetch/{PATH}?slice_=:1024", VALUES),
    "`::-3`, as values": (f"/api/fetch/{PATH}?slice_=::-3", VALUES),
    "`::32, ::8`, as values": (f"/api/fetch/{PATH}?slice_=::32,::8", VALUES),
    "`:, ::64`, as values": (f"/api/fetch/{PATH}?slice_=:,::64", VALUES),
    "`::3, ::2`, as a frame": (f"/api/fetch/{PATH}?slice_=::3,::2", media.BINARY),
}


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    data.write_a(source, scale.a_chunks)
    table = report.Table("beside", ("eight readers of A", "p50", "p99", "longest", "bar"))
    with services(place / "services", source) as running:
        client("read", running.url, PATH)
        table.add("none", *_row(running, scale)[:3])
        for what, (target, accept) in HEAVY.items():
            with _reading(running, target, accept):
                table.add(what, *_row(running, scale))
    return table


def _row(running: Services, scale: Scale) -> tuple[str, ...]:
    times = client("slices", running.url, PATH, str(scale.slices), "1")
    worst = measuring.quantile(times, 0.99)
    bar = report.at_most(worst * 1e3, BAR, " ms")
    return *spread(times), report.time(max(times)), bar


@contextlib.contextmanager
def _reading(running: Services, target: str, accept: str) -> Iterator[None]:
    """Read all the time in a process of its own."""
    child = measuring.process(
        "-m", "benchmarks.client", "heavy", running.url, target, accept, READERS
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield
    finally:
        child.kill()
        child.wait()
