"""What crosses the link, and what the disk holds, when cached datasets grow or change in part."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import blosc2
import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

from benchmarks import report
from benchmarks.scale import Scale
from benchmarks.services import ROOT, Services, eventually, services

SIDE = 256
"""Items along each side of a frame, of 16 bits; a frame is a chunk."""
READ = 3
"""Frames that are read after each was appended, the last ones."""
BEFORE = 100
"""Frames that are there and cached when the appending begins."""
NAME = "frames"
PATH = f"{ROOT}/{NAME}.b2nd"
GRID = {"chunks": (1, SIDE, SIDE), "blocks": (1, SIDE // 4, SIDE)}
Frames = npt.NDArray[np.uint16]
Append = Callable[[Frames], None]
Growing = Callable[[Path, Frames], contextlib.AbstractContextManager[Append]]


def frames(count: int, seed: int) -> Frames:
    """Frames of a detector, of which a byte in two is noise."""
    return np.random.default_rng(seed).poisson(80, (count, SIDE, SIDE)).astype("u2")


# --- writers ---


@contextlib.contextmanager
def in_place(directory: Path, first: Frames) -> Iterator[Append]:
    """A Blosc2 file that is resized."""
    file = str(directory / f"{NAME}.b2nd")
    blosc2.asarray(first, urlpath=file, contiguous=True, **GRID)

    def append(frame: Frames) -> None:
        array = blosc2.open(file, mode="a")
        array.resize((len(array) + 1, SIDE, SIDE))
        array[len(array) - 1] = frame

    yield append


@contextlib.contextmanager
def rewritten(directory: Path, first: Frames) -> Iterator[Append]:
    """A Blosc2 file that is written anew and renamed."""
    file, made = directory / f"{NAME}.b2nd", directory / f".{NAME}"
    written = [first]

    def write() -> None:
        made.unlink(missing_ok=True)
        blosc2.asarray(np.concatenate(written), urlpath=str(made), contiguous=True, **GRID)
        made.rename(file)

    def append(frame: Frames) -> None:
        written.append(frame[np.newaxis])
        write()

    write()
    yield append


@contextlib.contextmanager
def hdf5(directory: Path, first: Frames) -> Iterator[Append]:
    """An HDF5 dataset that grows under a single writer (SWMR)."""
    packing = hdf5plugin.Blosc2(cname="zstd", clevel=1)
    with h5py.File(directory / "x.h5", "w", libver="latest") as file:
        made = file.create_dataset(
            NAME, data=first, maxshape=(None, SIDE, SIDE), chunks=(1, SIDE, SIDE), **packing
        )
        file.swmr_mode = True

        def append(frame: Frames) -> None:
            made.resize(len(made) + 1, axis=0)
            made[-1] = frame
            made.flush()

        made.flush()
        yield append


# --- measuring ---


def run(scale: Scale, place: Path) -> report.Table:
    columns = ("what", "over the link", "new chunks", "ratio", "cache on disk", "bar")
    table = report.Table("versions", columns)
    kinds: dict[str, Growing] = {
        "appended in place": in_place, "written anew and renamed": rewritten, "HDF5, SWMR": hdf5,
    }  # fmt: skip
    for name, growing in kinds.items():
        directory = place / growing.__name__
        directory.mkdir()
        appended(table, scale.appended, directory, name, growing)
    changed(table, scale.appended, place)
    return table


def appended(table: report.Table, count: int, directory: Path, name: str, growing: Growing) -> None:
    source = directory / "data"
    source.mkdir()
    with growing(source, frames(BEFORE, 0)) as append:
        served = source / "x.h5" if growing is hdf5 else source
        with services(directory / "services", served, linked=True) as running:
            running.client.fetch(PATH)
            before, stored = crossed(running), cbytes(running)
            for n, frame in enumerate(frames(count, 1)):
                append(frame)
                last = functools.partial(last_frames, running, BEFORE + n + 1, frame)
                eventually(last, pause=0.02)
            what = f"{count} frames {name}, the last {READ} read after each"
            row(table, what, running, crossed(running) - before, cbytes(running) - stored, 1.05)


def changed(table: report.Table, count: int, directory: Path) -> None:
    """A region of a cached dataset is written, and all of it is read again."""
    source = directory / "data"
    source.mkdir()
    with (
        in_place(source, frames(count, 0)),
        services(directory / "services", source, linked=True) as running,
    ):
        running.client.fetch(PATH)
        before, region = crossed(running), slice(count // 2, count // 2 + max(1, count // 20))
        new = frames(region.stop - region.start, 1)
        array = blosc2.open(str(source / f"{NAME}.b2nd"), mode="a")
        array[region] = new
        eventually(lambda: bool((running.client.fetch(PATH)[region] == new).all()), pause=0.5)
        chunks = sum(len(array.schunk.get_chunk(n)) for n in range(region.start, region.stop))
        what = f"{len(new)} of {count} frames written in place, all read"
        row(table, what, running, crossed(running) - before, chunks, 1.5)


def row(
    table: report.Table, what: str, running: Services, link: float, new: float, bar: float
) -> None:
    disk = sum(file.stat().st_blocks * 512 for file in running.state("sub").rglob("cache/*/*/*"))
    table.add(
        what, report.megabytes(link), report.megabytes(new), report.times(link / new),
        report.times(disk / cbytes(running), "the dataset"), report.at_most(link / new, bar),
    )  # fmt: skip


def last_frames(running: Services, count: int, frame: Frames) -> bool:
    client = running.client
    if client.get_info(PATH)["shape"][0] < count:
        return False
    return bool((client.fetch(PATH, slice(count - READ, count))[-1] == frame).all())


def crossed(running: Services) -> float:
    return float(running.data.carried + running.data.asked)


def cbytes(running: Services) -> float:
    return float(running.client.get_info(PATH)["schunk"]["cbytes"])
