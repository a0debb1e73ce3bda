"""Processor time of the services for reads and openings, of some checkouts in turns.

``python benchmarks/costs.py ABS 9 . ../before`` reads 128 chunks of A and 3,000 of B cold and warm,
and opens 1,000 small datasets for the first time; medians of nine rounds after one that does not
count. Each checkout has services of its own, which stay for all rounds.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import IO, Any

WORKS = {"A": ("cold A", "warm A"), "B": ("cold B", "warm B"), "S": ("open S",)}
SMALL = 1000


def spent(pid: int) -> float:
    """Return the milliseconds that the threads of a process have run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6


def written(place: Path, kinds: str, rounds: int) -> Path:
    """Write what is read, by the checkout of the Python path."""
    from benchmarks import data

    source = place / "data"
    source.mkdir(parents=True)
    if "A" in kinds:
        data.write_a(source, 128, rounds)
    if "B" in kinds:
        data.write_b(source, 3000, rounds)
    if "S" in kinds:
        data.write_small(source, SMALL)
    return source


def anew(running: Any) -> None:
    """Have a subscriber without a cache list all datasets."""
    from benchmarks.services import ROOT, eventually

    running.stop_one("sub")
    shutil.rmtree(running.state("sub"))
    running.start_subscriber()
    eventually(lambda: running.client.subscribe(ROOT) == "Ok")
    root: Any = running.client.get(ROOT)
    eventually(lambda: len(root) >= SMALL)


def serve(place: Path, kinds: str, rounds: int) -> None:
    """Do the works that are named on the standard input, by the checkout of the Python path."""
    from benchmarks.measuring import client
    from benchmarks.services import ROOT, Services

    running = Services(place / "services", written(place, kinds, rounds)).published()
    seen: Counter[str] = Counter()
    for line in sys.stdin:
        what, name = line.split()
        if what == "open":
            anew(running)
        pids = {service: running.children[service].process.pid for service in ("pub", "sub")}
        before = {service: spent(pid) for service, pid in pids.items()}
        if what == "open":
            took = client("open_all", running.url, ROOT)[0]
        else:
            path = f"{ROOT}/{name}{seen[name] if what == 'cold' else ''}.b2nd"
            seen[name] += what == "cold"
            took = client("read", running.url, path)[0]
        costs = {service: spent(pid) - before[service] for service, pid in pids.items()}
        print(json.dumps({"wall": took * 1000, **costs}), flush=True)
    running.stop()


def started(tree: Path, place: Path, kinds: str, rounds: int) -> subprocess.Popen[str]:
    given = [sys.executable, __file__, "--serve", str(place), kinds, str(rounds)]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.Popen(
        given, env=environment, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def asked(child: subprocess.Popen[str], work: str) -> dict[str, float]:
    given: IO[str] | None = child.stdin
    assert given is not None
    assert child.stdout is not None
    given.write(f"{work}\n")
    given.flush()
    found: dict[str, float] = json.loads(child.stdout.readline())
    return found


def compare(kinds: str, rounds: int, trees: list[Path]) -> None:
    """Print the medians of all works of all checkouts."""
    works = [work for kind in kinds for work in WORKS[kind]]
    found: dict[tuple[str, Path], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        children = {
            tree: started(tree, Path(place, str(n)), kinds, rounds + 1)
            for n, tree in enumerate(trees)
        }
        for turn in range(rounds + 1):
            for work in works:
                for tree in trees if turn % 2 else reversed(trees):
                    found.setdefault((work, tree), []).append(asked(children[tree], work))
        for child in children.values():
            child.communicate()
    for (work, tree), costs in found.items():
        shown = {what: statistics.median(one[what] for one in costs[1:]) for what in costs[0]}
        print(f"{work}  {tree}  " + "  ".join(f"{k} {v:.0f} ms" for k, v in shown.items()))


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        compare(sys.argv[1], int(sys.argv[2]), [Path(tree).resolve() for tree in sys.argv[3:]])
