"""Measure, and write the tables into ``benchmarks/README.md``: ``bin/bench``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import blosc2

from benchmarks import report
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.topics import (
    alternatives,
    attacks,
    beside,
    catalogs,
    changes,
    expressions,
    growth,
    hdf5,
    hierarchy,
    home,
    idle,
    keys,
    machine,
    overviews,
    plots,
    reads,
    resources,
    slices,
    stores,
    versions,
    widearea,
    workers,
    zarr,
)

README = Path(__file__).parent / "README.md"
Topic = Callable[[Scale, Path], report.Table]
TOPICS: dict[str, Topic] = {
    "machine": machine.run, "reads": reads.run, "slices": slices.run, "beside": beside.run,
    "catalogs": catalogs.run,
    "changes": changes.run, "resources": resources.run, "idle": idle.run, "widearea": widearea.run,
    "growth": growth.run, "hdf5": hdf5.run, "versions": versions.run, "stores": stores.run,
    "expressions": expressions.run, "zarr": zarr.run,
    "workers": workers.run, "overviews": overviews.run, "plots": plots.run,
    "keys": keys.run, "attacks": attacks.run,
    "home": home.run, "hierarchy": hierarchy.run,
    "alternatives": alternatives.run,
}  # fmt: skip
ON_DEMAND = {"alternatives"}
"""Topics that install something."""


def make_parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="bin/bench", description=__doc__)
    made.add_argument(
        "topics", nargs="*", metavar="TOPIC", help=f"only these of {', '.join(TOPICS)}"
    )
    made.add_argument("--quick", action="store_true", help="less data: minutes, not half an hour")
    made.add_argument(
        "--alternatives",
        action="store_true",
        help="also what others made, installed into _caterva2/alternatives",
    )
    made.add_argument("--print", action="store_true", help="print the tables, and write nothing")
    return made


def about(scale: Scale) -> str:
    """On what it was measured."""
    return (
        f"A {scale.name} run ({scale.a_chunks} chunks of A, {scale.b_chunks:,} of B, medians of "
        f"{scale.runs}) with {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at its start, "
        f"Python {platform.python_version()}, Blosc2 {blosc2.__version__}."
    )


def measure(name: str, topic: Topic, scale: Scale) -> str:
    """The table of a topic, with how it was made."""
    began, told = time.monotonic(), about(scale)
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as place:
        table = topic(scale, Path(place))
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return f"{told}\n\n{table}"


def chosen(options: argparse.Namespace) -> list[str]:
    if options.topics:
        return [name for name in TOPICS if name in options.topics]
    return [name for name in TOPICS if name not in ON_DEMAND or options.alternatives]


def main() -> None:
    parser = make_parser()
    options = parser.parse_args()
    if unknown := set(options.topics) - set(TOPICS):
        parser.error(f"no such topic: {', '.join(sorted(unknown))}")
    failed = []
    for name in chosen(options):
        try:
            text = measure(name, TOPICS[name], QUICK if options.quick else FULL)
        except Exception:  # noqa: BLE001 - what the others find counts all the same
            traceback.print_exc()
            failed.append(name)
            continue
        print(f"\n{text}\n", flush=True)
        if not options.print:
            report.put(README, name, text)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
