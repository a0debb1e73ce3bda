"""How fast Blosc2 chunks of an HDF5 file are served, against the same chunks in a ``.b2nd``.

Prints a table; nothing is left behind.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import h5py
import hdf5plugin
import numpy as np

from caterva2.hdf5.importing import import_file
from caterva2.names import DatasetPath
from caterva2.roots.base import Source
from caterva2.roots.directory import DirectorySource
from caterva2.roots.hdf5 import Hdf5Source

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.conftest import Stack

SETS = {"A: 256 chunks of 1 MB": (2**17, 256), "B: 10,000 chunks of 32 KB": (4096, 10_000)}
ROUNDS = 5


def make(path: Path, size: int, count: int) -> None:
    """A walk in steps of noise, of which LZ4 makes about half."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        packing = hdf5plugin.Blosc2(cname="lz4", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE)
        data = file.create_dataset("x", (size * count,), "f8", chunks=(size,), **packing)
        for n in range(count):
            data[n * size : (n + 1) * size] = rng.normal(size=size).round(3).cumsum()


def serve(source: Source) -> float:
    """Seconds to read all chunks as a publisher does, in requests of 4 MB; the best of some."""
    path = DatasetPath("x.b2nd")
    info = source.info(path)
    step = max(4 * 2**20 // info.chunksize, 1)
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for n in range(0, info.nchunks, step):
            for _run in source.chunks(path, info.etag, range(n, min(n + step, info.nchunks))):
                pass
        took.append(time.perf_counter() - start)
    return min(took)


def cold(directory: Path, root: Path) -> float:
    """Seconds of a client's first read of all, through both hops; the median of some."""
    took = []
    for n in range(3):
        where = directory / f"{root.name}-{n}"
        where.mkdir()
        stack = Stack(where)
        try:
            client = stack.start(data=root)
            client.get("data/x.b2nd")
            start = time.perf_counter()
            client.fetch("data/x.b2nd")
            took.append(time.perf_counter() - start)
        finally:
            stack.stop_all()
    return median(took)


def main() -> None:
    print("| what | .b2nd | HDF5 | ratio |\n|---|---|---|---|")
    for name, (size, count) in SETS.items():
        with tempfile.TemporaryDirectory() as made:
            directory = Path(made)
            file, imported = directory / "x.h5", directory / "imported"
            make(file, size, count)
            import_file(file, imported)
            row(f"{name}: publisher's reading", serve(DirectorySource(imported)),
                serve(Hdf5Source(file)))  # fmt: skip
            row(f"{name}: cold read by a client", cold(directory, imported),
                cold(directory, file))  # fmt: skip


def row(name: str, plain: float, hdf5: float) -> None:
    print(f"| {name} | {plain:.3f} s | {hdf5:.3f} s | {hdf5 / plain:.2f} x |", flush=True)


if __name__ == "__main__":
    main()
