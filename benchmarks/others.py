"""The same reads with what others made, run by the Python of an environment of their own.

``others.py WHO COMMAND WHERE ...``; nothing of ours is imported here. A command prints numbers on
its last line. ``tiled serve`` and the ``write`` commands make what the others read.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NAMES = "A", "B"
KEYS = {"endpoint": "", "username": "admin", "password": "admin", "bucket": "bench"}


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- opening ---


def zarr_array(where: str, name: str) -> Any:
    import zarr

    return zarr.open_array(zarr.storage.FsspecStore.from_url(f"{where}/{name}.zarr"), mode="r")


def h5py_array(where: str, name: str) -> Any:
    import fsspec
    import h5py
    import hdf5plugin  # noqa: F401 - registers the filter

    file = fsspec.open(f"{where}/{name}.h5", block_size=2**20).open()
    return h5py.File(file, "r")[name]


def tiled_array(where: str, name: str) -> Any:
    from tiled.client import from_uri

    return from_uri(f"{where}/api/v1")[name]


def hsds_array(where: str, name: str) -> Any:
    import h5pyd

    return h5pyd.File(f"/home/admin/{name}.h5", "r", **(KEYS | {"endpoint": where}))[name]


OPEN: dict[str, Callable[[str, str], Any]] = {
    "zarr": zarr_array, "h5py": h5py_array, "tiled": tiled_array, "hsds": hsds_array,
}  # fmt: skip

# --- reading ---


def read(who: str, where: str, name: str) -> list[float]:
    """Seconds to read all, of which the opening is no part."""
    array = OPEN[who](where, name)
    return [timed(lambda: array[:])]


def slices(who: str, where: str, name: str, count: str) -> list[float]:
    """Seconds of each small slice at random."""
    array, chosen = OPEN[who](where, name), random.Random(0)
    took = []
    for n in range(int(count) + 5):
        y, x = (chosen.randrange(size - 10) for size in array.shape)
        began = time.perf_counter()
        array[y : y + 10, x : x + 10]
        if n >= 5:
            took.append(time.perf_counter() - began)
    return took


def one_slice(who: str, where: str, name: str) -> list[float]:
    """Seconds to open an array and read a small slice of it."""
    OPEN[who](where, "B")  # connections, as far as they are kept, and what is imported
    return [timed(lambda: OPEN[who](where, name)[100:110, 100:110])]


# --- writing and serving ---


def write(who: str, where: str, *files: str) -> list[float]:
    """Write arrays as their owner would, chunked as ours and with LZ4 too."""
    for name, file, chunks in zip(files[::3], files[1::3], files[2::3], strict=True):
        shape = tuple(int(size) for size in chunks.split(","))
        WRITE[who](where, name, np.load(file), shape)
    return []


def write_zarr(where: str, name: str, values: Any, chunks: tuple[int, ...]) -> None:
    import zarr
    from zarr.codecs import BloscCodec

    path = f"{where}/{name}.zarr"
    packing = BloscCodec(cname="lz4", clevel=5)
    made = zarr.create_array(
        path, shape=values.shape, chunks=chunks, dtype="f8", compressors=packing
    )
    made[:] = values


def write_h5(where: str, name: str, values: Any, chunks: tuple[int, ...]) -> None:
    import h5py
    import hdf5plugin

    with h5py.File(f"{where}/{name}.h5", "w", libver="latest") as file:
        packing = hdf5plugin.Blosc2(cname="lz4", clevel=5)
        file.create_dataset(name, data=values, chunks=chunks, **packing)


def write_hsds(where: str, name: str, values: Any, chunks: tuple[int, ...]) -> None:
    import h5pyd

    given = KEYS | {"endpoint": where}
    login = ["-e", where, "-u", given["username"], "-p", given["password"]]
    touch = [str(Path(sys.executable).with_name("hstouch")), *login, "--bucket", given["bucket"]]
    for folder in ("/home/", "/home/admin/"):  # one that is there stays
        subprocess.run([*touch, folder], stdout=subprocess.DEVNULL, check=False)
    with h5pyd.File(f"/home/admin/{name}.h5", "w", **given) as file:
        file.create_dataset(name, data=values, chunks=chunks, compression="lz4")


WRITE: dict[str, Callable[[str, str, Any, tuple[int, ...]], None]] = {
    "zarr": write_zarr, "h5py": write_h5, "hsds": write_hsds,
}  # fmt: skip


def serve(_who: str, where: str, directory: str) -> list[float]:
    """Serve zarr arrays with Tiled."""
    import dask.array
    import uvicorn
    import zarr
    from tiled.adapters.array import ArrayAdapter
    from tiled.adapters.mapping import MapAdapter
    from tiled.config import Authentication
    from tiled.server.app import build_app

    arrays = {
        name: ArrayAdapter.from_array(
            dask.array.from_zarr(zarr.open_array(f"{directory}/{name}.zarr", mode="r"))
        )
        for name in NAMES
    }
    free = Authentication(allow_anonymous_access=True)
    app = build_app(MapAdapter(arrays), authentication=free)
    uvicorn.run(app, host="127.0.0.1", port=int(where), log_level="warning")
    return []


COMMANDS = {each.__name__: each for each in (read, slices, one_slice, write, serve)}

if __name__ == "__main__":
    print(*COMMANDS[sys.argv[2]](sys.argv[1], *sys.argv[3:]))
