"""The same reads with what a user would pick instead, each in its own environment."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import data, environments, measuring, report
from benchmarks.environments import OTHERS
from benchmarks.fileserver import file_server
from benchmarks.measuring import client, finished, process
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, services, wide_area
from tests.fault.proxy import Proxy

SLICES = 100
CHUNKS = {"A": data.A_CHUNKS, "B": (1, data.B_CHUNK)}
ENVIRONMENT = {"zarr": "main", "h5py": "main", "tiled": "main", "hsds": "hsds"}
TITLES = {
    "zarr": "zarr over {}", "h5py": "h5py, fsspec over {}", "tiled": "Tiled", "hsds": "h5pyd, HSDS",
}  # fmt: skip
ROWS = {
    "A": "A: whole read", "B": "B: whole read", "slice": "a small slice (median)",
    "far A": "A: whole read, client far away", "far B": "B: whole read, client far away",
    "far slice": "opening and a small slice, client far away",
}  # fmt: skip
Works = dict[str, measuring.Work]


def other(who: str, *given: str) -> list[float]:
    python = environments.python(ENVIRONMENT[who])
    return finished(process(OTHERS, who, *given, python=python))


class Rivals:
    """What we are compared with, as far as it starts: where each is, near and far away."""

    def __init__(self) -> None:
        self.near: dict[str, str] = {}
        self.links: dict[str, Proxy] = {}
        self.problems: dict[str, str] = {}

    def add(self, who: str, url: str) -> None:
        self.near[who] = url
        self.links[who] = Proxy(int(url.rpartition(":")[2]))

    def far(self, who: str) -> str:
        return f"http://127.0.0.1:{self.links[who].port}"

    def close(self) -> None:
        for link in self.links.values():
            link.close()


def run(scale: Scale, place: Path) -> report.Table:
    runs = min(scale.runs, 3)
    source, foreign = place / "data", place / "foreign"
    for directory in (source, foreign, place / "hsds"):
        directory.mkdir()
    data.write_a(source, scale.a_chunks, runs)
    data.write_b(source, scale.b_chunks, runs)
    arrays = saved(scale, place)
    with contextlib.ExitStack() as stack:
        rivals = Rivals()
        stack.callback(rivals.close)
        files, server = stack.enter_context(file_server(foreign, place / "server"))
        start(rivals, stack, place, files, arrays)
        running = stack.enter_context(services(place / "services", source, linked=True))
        for name in CHUNKS:
            client("read", running.url, f"{ROOT}/{name}.b2nd")
        return table(measured(running, rivals, runs), rivals, server)


def saved(scale: Scale, place: Path) -> list[str]:
    """A and B for others to take: name, file and chunks of each."""
    values = {"A": data.a_values(scale.a_chunks), "B": data.b_values(scale.b_chunks)}
    given = []
    for name, array in values.items():
        np.save(place / f"{name}.npy", array)
        given += [name, str(place / f"{name}.npy"), ",".join(map(str, CHUNKS[name]))]
    return given


def start(
    rivals: Rivals, stack: contextlib.ExitStack, place: Path, files: str, arrays: list[str]
) -> None:
    """Start all that starts."""

    def zarr() -> str:
        other("zarr", "write", str(place / "foreign"), *arrays)
        return files

    def h5py() -> str:
        other("h5py", "write", str(place / "foreign"), *arrays)
        return files

    def tiled() -> str:
        return stack.enter_context(environments.tiled(place / "foreign"))

    def hsds() -> str:
        url = stack.enter_context(environments.hsds(place / "hsds"))
        other("hsds", "write", url, *arrays)
        return url

    starts: dict[str, Callable[[], str]] = {
        "zarr": zarr, "h5py": h5py, "tiled": tiled, "hsds": hsds,
    }  # fmt: skip
    for who, begin in starts.items():
        try:
            rivals.add(who, begin())
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            rivals.problems[who] = type(error).__name__


def measured(running: Services, rivals: Rivals, runs: int) -> dict[str, dict[str, float]]:
    """Seconds by what is read and by whom, taken in turns."""
    found: dict[str, dict[str, float]] = {}
    for name in CHUNKS:
        cold = iter([f"{ROOT}/{name}{n}.b2nd" for n in range(runs)])
        works: Works = {
            "warm": ours(running.url, name),
            "cold": partial(first_read, running.url, cold),
        }
        found[name] = measuring.interleaved(runs, works | reads(rivals, name))
    found["slice"] = measuring.interleaved(runs, small(running, rivals))
    with contextlib.ExitStack() as stack:
        for link in (running.web, *rivals.links.values()):
            stack.enter_context(wide_area(link))
        for name in CHUNKS:
            works = {"warm": ours(running.far_url, name)}
            found[f"far {name}"] = measuring.interleaved(1, works | reads(rivals, name, far=True))
        works = {"warm": lambda: client("one_slice", running.far_url, f"{ROOT}/A.b2nd")[0]}
        for who in rivals.near:
            works[who] = _first(rivals, who)
        found["far slice"] = measuring.interleaved(runs, works)
    return found


def ours(url: str, name: str) -> measuring.Work:
    return lambda: client("read", url, f"{ROOT}/{name}.b2nd")[0]


def first_read(url: str, paths: Iterator[str]) -> float:
    return client("read", url, next(paths))[0]


def reads(rivals: Rivals, name: str, *, far: bool = False) -> Works:
    return {who: _read(rivals, who, name, far=far) for who in rivals.near}


def _read(rivals: Rivals, who: str, name: str, *, far: bool) -> measuring.Work:
    where = rivals.far(who) if far else rivals.near[who]
    return lambda: other(who, "read", where, name)[0]


def _first(rivals: Rivals, who: str) -> measuring.Work:
    return lambda: other(who, "one_slice", rivals.far(who), "A")[0]


def small(running: Services, rivals: Rivals) -> Works:
    """Small slices one after the other."""

    def our_own() -> float:
        path = f"{ROOT}/A.b2nd"
        return statistics.median(
            measuring.at_once(1, "slices", running.url, path, str(SLICES), "1")[1]
        )

    def theirs(who: str) -> measuring.Work:
        return lambda: statistics.median(other(who, "slices", rivals.near[who], "A", str(SLICES)))

    return {"warm": our_own} | {who: theirs(who) for who in rivals.near}


def table(found: dict[str, dict[str, float]], rivals: Rivals, server: str) -> report.Table:
    titles = [title.format(server) for title in TITLES.values()]
    made = report.Table("alternatives", ("what", "warm", "cold", *titles))
    for row, what in ROWS.items():
        took = found[row]
        cold = report.time(took["cold"]) if "cold" in took else ""
        made.add(what, report.time(took["warm"]), cold, *(cell(took, who) for who in TITLES))
    for who, problem in rivals.problems.items():
        made.add(f"{TITLES[who].format(server)} did not start", problem)
    return made


def cell(took: dict[str, float], who: str) -> str:
    """A rival's time, and how many of our warm ones fit into it."""
    if who not in took:
        return "-"
    return f"{report.time(took[who])}: {report.times(took[who] / took['warm'])}"
