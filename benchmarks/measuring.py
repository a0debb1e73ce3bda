"""Times of processes, and medians of what is compared, taken in turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Work = Callable[[], float]
TOP = Path(__file__).parent.parent


def interleaved(runs: int, works: Mapping[str, Work]) -> dict[str, float]:
    """Do all works in turns; the median of each.

    Whatever else the machine does meanwhile hits all of them alike.
    """
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            found[name].append(work())
    return {name: statistics.median(values) for name, values in found.items()}


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def process(*arguments: str, python: str = sys.executable) -> subprocess.Popen[str]:
    """A process of `benchmarks.client`, or of another script of ours."""
    return subprocess.Popen(
        [python, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=TOP
    )


def client(*arguments: str) -> list[float]:
    """What a command of `benchmarks.client` found, in a process of its own."""
    return finished(process("-m", "benchmarks.client", *arguments))


def finished(child: subprocess.Popen[str], timeout: float = 600) -> list[float]:
    """The numbers in the last line of a process."""
    try:
        out, _ = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        raise
    if child.returncode:
        raise RuntimeError(f"{child.args!r} ended with {child.returncode}")
    return [float(word) for word in out.splitlines()[-1].split()]


def at_once(count: int, *arguments: str) -> tuple[float, list[float]]:
    """The same command in several processes that begin together; seconds, and all they found."""
    took, *found = client("together", str(count), *arguments)
    return took, found


def quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share))


def curl(url: str) -> float:
    """Seconds that curl takes for a whole body."""
    command = ["curl", "-sf", "-o", "/dev/null", "-w", "%{time_total}", url]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
