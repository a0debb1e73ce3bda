"""Small slices of what is cached: 10x10 out of A at random."""

from __future__ import annotations

from pathlib import Path

from benchmarks import data, measuring, report
from benchmarks.fileserver import file_server
from benchmarks.measuring import client
from benchmarks.scale import Scale
from benchmarks.services import ROOT, services

BARS = {1: 2000, 16: 4000}
PATH = f"{ROOT}/A.b2nd"


def rate(url: str, count: int, clients: int, threads: int = 1) -> tuple[float, list[float]]:
    """Slices a second of all clients together, and the seconds of each slice."""
    each = max(count // (clients * threads), 5)
    took, times = measuring.at_once(clients, "slices", url, PATH, str(each), str(threads))
    return len(times) / took, times


def run(scale: Scale, place: Path) -> report.Table:
    source = place / "data"
    source.mkdir()
    file = data.write_a(source, scale.a_chunks)
    (source / "small").write_bytes(bytes(800))
    table = report.Table("slices", ("what", "p50", "p99", "rate", "bar"))
    many = str(scale.slices)
    with file_server(source, place / "server") as (files, name):
        local = client("local_slices", str(file), many)
        plain = client("gets", f"{files}/small", many)
    for what, times in (("from the open file", local), (f"GET of 800 bytes from {name}", plain)):
        table.add(f"{what}, 1 reader", *spread(times), f"{len(times) / sum(times):.0f} /s")
    with services(place / "services", source) as running:
        client("read", running.url, PATH)
        for clients, bar in BARS.items():
            found = [rate(running.url, scale.slices, clients) for _ in range(scale.runs)]
            best = sorted(found, key=lambda each: each[0])[len(found) // 2]
            table.add(
                f"warm slices, {clients} clients",
                *spread(best[1]),
                f"{best[0]:.0f} /s",
                report.at_least(best[0], bar, " /s"),
            )
    return table


def spread(times: list[float]) -> tuple[str, str]:
    low, high = (measuring.quantile(times, share) for share in (0.5, 0.99))
    return report.time(low), report.time(high)
