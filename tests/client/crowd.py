"""Processes that fill one cache at once, or are killed while they do: one process forks all."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import caterva2
from caterva2.cache import check
from tests.client.arrays import MANY

PATH = "foo/many.b2nd"


def read(url: str, directory: Path, seed: int, count: int) -> None:
    """Read slices at random, with a client that knows nothing yet."""
    chosen = random.Random(seed)
    dataset = caterva2.Client(url, cache=directory)[PATH]
    for _ in range(count):
        first, other = chosen.randrange(len(MANY)), chosen.randrange(len(MANY))
        key = slice(first, first + 40), slice(other, other + 40)
        assert np.array_equal(dataset[key], MANY[key])
    assert np.array_equal(dataset[:], MANY)


def forked(work: Callable[[], None]) -> int:
    """Run work in a forked process; return its number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def together(url: str, directory: Path, count: int) -> None:
    """Have some processes read at once."""
    pids = [forked(lambda n=n: read(url, directory, n, 40)) for n in range(count)]  # type: ignore[misc]
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    report = check.look(directory)
    assert (report.replicas, report.complete, report.damaged) == (1, 1, []), report


def killed(url: str, directory: Path, count: int) -> None:
    """Kill some processes one after the other, each at some instant of its work."""
    chosen = random.Random(count)
    for n in range(count):
        if n % 8 == 0:
            shutil.rmtree(directory, ignore_errors=True)
        pid = forked(lambda n=n: read(url, directory, n, 10**6))  # type: ignore[misc]
        time.sleep(chosen.uniform(0.005, 0.15))  # the instant
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), f"it found wrong values, {status}"
        if directory.exists():
            report = check.look(directory)
            assert not report.damaged, report
    pid = forked(lambda: read(url, directory, 0, 10))
    assert os.waitpid(pid, 0)[1] == 0


def beside(url: str, directory: Path, count: int) -> None:
    """Have two processes read at once, and kill one of them at some instant."""
    chosen = random.Random(count)
    for n in range(count):
        shutil.rmtree(directory, ignore_errors=True)
        other = forked(lambda n=n: read(url, directory, n, 20))  # type: ignore[misc]
        pid = forked(lambda n=n: read(url, directory, n + count, 10**6))  # type: ignore[misc]
        time.sleep(chosen.uniform(0.005, 0.15))  # the instant
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert os.waitpid(other, 0)[1] == 0
        report = check.look(directory)
        assert (report.replicas, report.complete, report.damaged) == (1, 1, []), report


def full(url: str, directory: Path, count: int) -> None:
    """Read where not all can be written, again and again."""
    for n in range(count):
        pid = forked(lambda n=n: read(url, directory, n, 10))  # type: ignore[misc]
        assert os.waitpid(pid, 0)[1] == 0
        assert not check.look(directory).damaged


def limited(url: str, directory: Path, count: int) -> None:
    """Read where files can't be larger than a part of an array."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    full(url, directory, count)


if __name__ == "__main__":
    for what in sys.argv[1].split(","):
        work = {one.__name__: one for one in (together, killed, beside, full, limited)}[what]
        work(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
