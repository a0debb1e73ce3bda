"""How tests write HDF5 files and read them as roots."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import blosc2
import h5py
import numpy as np

from caterva2.frames import compose
from caterva2.hdf5.source import Hdf5Source
from caterva2.names import DatasetPath


def read(source: Hdf5Source, path: str) -> Any:
    """The values of a dataset, out of its raw chunks."""
    info = source.info(DatasetPath(path))
    found = []
    for run in source.chunks(info.path, info.etag, range(info.nchunks)):
        ends = np.cumsum(run.sizes)
        found += [run.payload[end - n : end] for end, n in zip(ends, run.sizes, strict=True)]
    frame = compose.frame(compose.template(info), found)
    return blosc2.ndarray_from_cframe(bytes(frame))[()]


def passes(source: Hdf5Source, path: str) -> bool:
    """Whether a dataset's chunks are served as they are stored."""
    return bool(source.file().opened(DatasetPath(path)).layout.mask)


def write(path: Path, **datasets: Any) -> Path:
    """A file with some datasets, moved to its place."""
    new = path.with_suffix(".new")
    with h5py.File(new, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    os.replace(new, path)
    return path
