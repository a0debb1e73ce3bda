"""An example HDF5 file to publish: ``python -m caterva2.examples.hdf5root FILE``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

try:
    import h5py
    import hdf5plugin
except ModuleNotFoundError as missing:
    if __name__ != "__main__":
        raise
    sys.exit(f"hdf5root: {missing.name} is not installed: pip install 'caterva2[hdf5]'")

TOO_MANY = 17
"""Dimensions, one more than Blosc2 has."""


def make(path: Path) -> None:
    """Write the example file, with datasets of every layout and some that can't be served.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    """
    with h5py.File(path, "w") as file:
        file["scalar"] = 123.456
        file["string"] = np.bytes_(b"Hello world!")
        file["text"] = "Hello world!"
        _arrays(file.create_group("arrays"))
        _attributes(file.create_dataset("attrs", data=0))
        _unsupported(file.create_group("unsupported"))


def _arrays(group: h5py.Group) -> None:
    group["1d-raw"] = np.arange(1000)
    group.create_dataset(
        "1ds-blosc2", data=np.array([b"foobar"] * 1000), chunks=(50,), **hdf5plugin.Blosc2()
    )
    values = (np.arange(100) * (1 + 1j)).reshape(10, 10)
    group["2d-nochunks"] = values
    group.create_dataset("2d-gzip", data=values, chunks=(4, 4), compression="gzip")
    packing = hdf5plugin.Blosc2(cname="lz4", clevel=7, filters=hdf5plugin.Blosc2.BITSHUFFLE)
    group.create_dataset("1d-of-arrays", (10,), np.dtype(("i4", (3,))))
    text = np.dtype([("a", "i4"), ("text", h5py.string_dtype())])
    group.create_dataset("1d-of-records", (10,), text)
    cube = np.arange(1000).astype("u1").reshape(10, 10, 10)
    group.create_dataset("3d-blosc2", data=cube, chunks=(4, 10, 10), **packing)


def _attributes(dataset: h5py.Dataset) -> None:
    attributes: dict[str, Any] = {
        "Int": 42,
        "IntT": np.int16(42),
        "Bin": np.void(b"foo"),
        "BinT": np.bytes_(b"foo"),
        "Str": "bar",
        "Arr": [[0, 1], [2, 3]],
        "ArrT": np.array([[0, 1], [2, 3]], "u1"),
        "NilBin": h5py.Empty("S1"),
        "NilInt": h5py.Empty("i4"),
    }
    for name, value in attributes.items():
        dataset.attrs[name] = value


def _unsupported(group: h5py.Group) -> None:
    group["empty"] = h5py.Empty("f8")
    group["too-many-dimensions"] = np.zeros((1,) * TOO_MANY)
    group.create_dataset("vlarrays", (10,), h5py.vlen_dtype("i4"))
    group["hard-link"] = group.file["/"]


def main(argv: list[str]) -> int:
    """Write the example file, and return an exit code."""
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: python -m caterva2.examples.hdf5root FILE", file=sys.stderr)
        return 2
    try:
        make(Path(argv[0]))
    except OSError as error:
        print(f"hdf5root: {argv[0]}: {error}", file=sys.stderr)
        return 1
    print(argv[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
