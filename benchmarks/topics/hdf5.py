"""Chunks that were written with HDF5's Blosc2 filter, against the same chunks in a ``.b2nd``."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import hdf5plugin

from benchmarks import data, measuring, report
from benchmarks.measuring import client
from benchmarks.scale import Scale
from benchmarks.services import ROOT, services
from caterva2.conversion.importer import import_file
from caterva2.hdf5.source import Hdf5Source
from caterva2.names import DatasetPath
from caterva2.sources.base import Source
from caterva2.sources.directory.source import DirectorySource


def make(path: Path, size: int, count: int, copies: int) -> None:
    """The same array several times, so that each is read for the first time once."""
    values = data.walk(size * min(count, 256))
    packing = hdf5plugin.Blosc2(cname="lz4", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE)
    with h5py.File(path, "w") as file:
        for n in range(copies):
            made = file.create_dataset(f"x{n}", (size * count,), "f8", chunks=(size,), **packing)
            for start in range(0, size * count, values.size):
                stop = min(start + values.size, size * count)
                made[start:stop] = values[: stop - start]


def serve(source: Source) -> float:
    """Seconds to read all chunks as a publisher does, in requests of 4 MB."""
    path = DatasetPath("x0.b2nd")
    info = source.info(path)
    step = max(4 * 2**20 // info.chunksize, 1)

    def read() -> None:
        for n in range(0, info.nchunks, step):
            for _run in source.chunks(path, info.etag, range(n, min(n + step, info.nchunks))):
                pass

    return measuring.seconds(read)


def run(scale: Scale, place: Path) -> report.Table:
    table = report.Table("hdf5", ("what", ".b2nd", "HDF5", "ratio"))
    runs = min(scale.runs, 2)
    sizes = {"A": (2**17, scale.a_chunks), "B": (4096, scale.b_chunks)}
    for name, (size, count) in sizes.items():
        directory = place / name
        directory.mkdir()
        file, imported = directory / "x.h5", directory / "imported"
        make(file, size, count, runs)
        import_file(file, imported)
        one_set(table, f"{name}, {count:,} chunks", directory, runs)
    return table


def one_set(table: report.Table, what: str, directory: Path, runs: int) -> None:
    file, imported = directory / "x.h5", directory / "imported"
    plain, hdf5 = DirectorySource(imported), Hdf5Source(file)
    reading = measuring.interleaved(
        runs, {".b2nd": lambda: serve(plain), "HDF5": lambda: serve(hdf5)}
    )
    plain.close()
    hdf5.close()
    with (
        services(directory / "plain", imported) as first,
        services(directory / "hdf5", file) as second,
    ):
        counts = itertools.count(), itertools.count()
        cold = measuring.interleaved(
            runs,
            {
                ".b2nd": lambda: client("read", first.url, f"{ROOT}/x{next(counts[0])}.b2nd")[0],
                "HDF5": lambda: client("read", second.url, f"{ROOT}/x{next(counts[1])}.b2nd")[0],
            },
        )
    for row, found in (("publisher's reading", reading), ("cold read by a client", cold)):
        table.add(
            f"{what}: {row}",
            report.time(found[".b2nd"]),
            report.time(found["HDF5"]),
            report.times(found["HDF5"] / found[".b2nd"]),
        )
