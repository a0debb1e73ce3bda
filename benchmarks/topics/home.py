"""The client's own cache: whole reads of A and B and small slices of A, when all is there."""

from __future__ import annotations

from pathlib import Path

from benchmarks import data, measuring, report
from benchmarks.measuring import client
from benchmarks.scale import Scale
from benchmarks.services import ROOT, services
from benchmarks.topics.slices import spread

WHOLE, SLICES = 1.1, 6000


def run(scale: Scale, place: Path) -> report.Table:
    source, cache = place / "data", str(place / "cache")
    source.mkdir()
    files = {
        "A": data.write_a(source, scale.a_chunks), "B": data.write_b(source, scale.b_chunks)
    }  # fmt: skip
    table = report.Table("home", ("what", "time", "ratio", "bar"))
    with services(place / "services", source) as running:
        for name, file in files.items():
            path = f"{ROOT}/{name}.b2nd"
            client("home_read", running.url, path, cache)
            took = measuring.interleaved(
                scale.runs,
                {
                    "decode": lambda file=file: client("decode", str(file))[0],  # type: ignore[misc]
                    "kept": lambda path=path: client("home_read", running.url, path, cache)[0],  # type: ignore[misc]
                },
            )
            ratio = took["kept"] / took["decode"]
            table.add(f"{name}: decompression alone", report.time(took["decode"]))
            table.add(
                f"{name}: from the client's cache", report.time(took["kept"]),
                report.times(ratio, "decompression"),
                report.at_most(ratio, WHOLE) if name == "A" else "",
            )  # fmt: skip
        path, many = f"{ROOT}/A.b2nd", str(scale.slices)
        local = client("local_slices", str(files["A"]), many)
        kept = client("home_slices", running.url, path, cache, many)
        for what, times in (("from the open file", local), ("from the client's cache", kept)):
            rate = len(times) / sum(times)
            bar = report.at_least(rate, SLICES, " /s") if times is kept else ""
            table.add(f"slices of A {what}", " / ".join(spread(times)), f"{rate:.0f} /s", bar)
    return table
