"""Reads through publisher, subscriber and client, beside what the machine does without them.

    python benchmarks/reads.py [--quick]

A: 256 MB float64 in 256 chunks of 1 MB. B: 10,000 chunks of 32 KB. Slices: 10x10 out of A at
random. Every figure is the median of some runs; a full read is a process of its own, so that
none of them profits from memory that an earlier one has touched.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np

from caterva2.cli.children import Child
from caterva2.client import Client

READ = """
import sys, time, caterva2, blosc2
client = caterva2.Client(sys.argv[1])
client.get_roots()
start = time.perf_counter()
client.fetch(sys.argv[2])
print(time.perf_counter() - start)
"""
DECODE = """
import sys, time, blosc2
array = blosc2.open(sys.argv[1])
start = time.perf_counter()
array[()]
print(time.perf_counter() - start)
"""

SLICES = """
import sys, time, numpy, caterva2
array = caterva2.Client(sys.argv[1]).get("big/A.b2nd")
random = numpy.random.default_rng(int(sys.argv[3]))
places = random.integers(0, [n - 10 for n in array.shape], (int(sys.argv[2]), 2)).tolist()
array[:10, :10]
times = []
print("ready", flush=True)
sys.stdin.readline()
for y, x in places:
    start = time.perf_counter()
    array[y : y + 10, x : x + 10]
    times.append(time.perf_counter() - start)
print(*times)
"""


def make_data(directory: Path, *, quick: bool) -> dict[str, int]:
    """Write A and B; chunks of each."""
    rows = 512 if quick else 4096
    walk = np.random.default_rng(0).standard_normal(rows * 8192).round(2).cumsum()
    a = walk.reshape(rows, 8192)
    count = 1000 if quick else 10_000
    b = np.resize(walk, (count, 4096))
    packing = {"codec": blosc2.Codec.LZ4, "clevel": 5}
    for name, values, chunks, blocks in (
        ("A", a, (256, 512), (64, 64)),
        ("B", b, (1, 4096), (1, 4096)),
    ):
        path = str(directory / f"{name}.b2nd")
        blosc2.asarray(values, chunks=chunks, blocks=blocks, cparams=packing, urlpath=path)
    return {"A": rows // 256 * 16, "B": count}


class Services:
    """A broker, a publisher of one directory and a subscriber with an empty cache."""

    def __init__(self, directory: Path, source: Path) -> None:
        self._log = directory / "services.log"
        self._children: list[Child] = []
        broker = self._start("cat2bro", directory / "bro", "--endpoint", "127.0.0.1:0")
        given = "--broker", broker
        self._start(
            "cat2pub", directory / "pub", *given, "--endpoint", "127.0.0.1:0", "big", str(source)
        )
        self.url = "http://" + self._start(
            "cat2sub", directory / "sub", *given, "--http", "127.0.0.1:0"
        )
        self.client = Client(self.url)
        while "big" not in self.client.get_roots():
            time.sleep(0.05)
        self.client.subscribe("big")

    def _start(self, command: str, statedir: Path, *given: str) -> str:
        child = Child(command, ["--statedir", str(statedir), *given], self._log)
        self._children.append(child)
        match = re.search(r"127\.0\.0\.1:\d+", child.ready())
        assert match
        return match[0]

    def memory(self) -> str:
        """Peak memory of each daemon in MB."""
        peaks = []
        for child in self._children:
            status = Path(f"/proc/{child.process.pid}/status").read_text()
            peak = re.search(r"VmHWM:\s+(\d+)", status)
            assert peak
            peaks.append(f"{child.command} {int(peak[1]) // 1024}")
        return ", ".join(peaks)

    def stop(self) -> None:
        for child in reversed(self._children):
            child.stop()


def run(code: str, *arguments: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def curl(url: str) -> float:
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{time_total}", url]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def median(runs: int, work: Callable[[], float]) -> float:
    return statistics.median(work() for _ in range(runs))


def slices(url: str, count: int, clients: int) -> tuple[float, float, float]:
    """Slices a second of all clients together; the median and 99th percentile in milliseconds."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SLICES, url, str(count), str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for seed in range(clients)
    ]  # fmt: skip
    for process in processes:  # all of them begin when the last one is ready
        assert process.stdout is not None
        process.stdout.readline()
    start = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    times = np.concatenate([np.array(p.communicate()[0].split(), float) for p in processes])
    elapsed = time.perf_counter() - start
    low, high = np.quantile(times, [0.5, 0.99]) * 1000
    return len(times) / elapsed, float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="an eighth of the data")
    quick = parser.parse_args().quick
    runs = 3 if quick else 5
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "data"
        source.mkdir()
        make_data(source, quick=quick)
        cold: dict[str, list[float]] = {"A": [], "B": []}
        for n in range(runs):
            directory = Path(temporary) / str(n)
            directory.mkdir()
            services = Services(directory, source)
            for name, times in cold.items():
                times.append(run(READ, services.url, f"big/{name}.b2nd"))
            if n < runs - 1:
                services.stop()
        print("| what | seconds | ratio | bar |\n|---|---|---|---|")
        for name, bar in (("A", 2.0), ("B", 2.5)):
            path, url = str(source / f"{name}.b2nd"), f"{services.url}/api/fetch/big/{name}.b2nd"
            decode = median(runs, lambda path=path: run(DECODE, path))
            sent = median(runs, lambda url=url: curl(url))
            warm = median(runs, lambda name=name: run(READ, services.url, f"big/{name}.b2nd"))
            first = statistics.median(cold[name])
            print(f"| {name}: decompression alone | {decode:.3f} | | |")
            print(f"| {name}: curl of the sealed file | {sent:.3f} | | |")
            limit = warm / (decode + sent)
            print(f"| {name}: warm read | {warm:.3f} | {limit:.2f} x (both) | 1.3 for A |")
            share = sent / warm
            print(f"| {name}: of curl's throughput | | {share:.2f} | 0.5 for A |")
            print(f"| {name}: cold read | {first:.3f} | {first / warm:.2f} x warm | {bar} |")
        for clients, bar in ((1, 2000), (16, 4000)):
            rate, low, high = slices(services.url, 2000 // clients, clients)
            spread = f"p50 {low:.2f} ms, p99 {high:.2f} ms"
            print(f"| slices, {clients} clients | {spread} | {rate:.0f} /s | {bar} /s |")
        print(f"\nPeak memory in MB: {services.memory()}")
        services.stop()


if __name__ == "__main__":
    main()
