"""Arrays of the tests of the client's cache."""

from __future__ import annotations

from pathlib import Path

import blosc2
import numpy as np
import numpy.typing as npt

GRID = np.random.default_rng(7).integers(0, 2**30, (40, 60))
MANY = np.random.default_rng(8).integers(0, 2**40, (300, 300))


def write(path: Path, values: npt.NDArray[np.int64]) -> None:
    """Put an array in the place of a file, as one step."""
    temporary = path.with_name("." + path.name)
    blosc2.asarray(values, chunks=(10, 20), blocks=(5, 10), urlpath=str(temporary), mode="w")
    temporary.rename(path)


def write_odd(directory: Path) -> None:
    """Put arrays of zeros there, and some whose chunks have one block."""
    one = {"chunks": (50,), "blocks": (50,)}
    blosc2.asarray(np.arange(100.0), urlpath=str(directory / "one.b2nd"), **one)
    blosc2.zeros(100, urlpath=str(directory / "one-zeros.b2nd"), **one)
    blosc2.zeros((20, 20), chunks=(10, 10), blocks=(5, 5), urlpath=str(directory / "zeros.b2nd"))
