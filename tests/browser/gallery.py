"""A root with arrays of all dtypes, and other things that pages have to show rightly."""

from __future__ import annotations

from pathlib import Path

import blosc2
import numpy as np

POINT = np.dtype([("n", "<i4"), ("name", "<U8"), ("at", [("x", "<f8"), ("y", "<f8")])])
ARRAYS: dict[str, np.ndarray] = {
    "i1": np.array([-128, 0, 127], "i1"),
    "u8": np.array([0, 2**53 + 1, 2**64 - 1], "u8"),
    "i8": np.array([-(2**63), 2**53 + 1, 2**63 - 1], "i8"),
    "big": np.array([1, -2, 70000], ">i4"),
    "f2": np.array([0.1, np.inf, np.nan], "f2"),
    "f4": np.array([0.1, -np.inf, 1e-30], "f4"),
    "f8": np.array([0.1, 1e300, np.nan], "f8"),
    "c8": np.array([1 + 2j, complex("nan"), 0], "c8"),
    "c16": np.array([0.1 + 0.2j, -1j, 3], "c16"),
    "bool": np.array([True, False, True]),
    "S": np.array([b"abc", b"<b>\xff", b""], "S5"),
    "U": np.array(["abc", "<b>ü", ""], "U5"),
    "M": np.array(["2026-11-27", "NaT", "1969-12-31"], "M8[D]"),
    "m": np.array([1, -5, 0], "m8[s]"),
    "nan": np.full(3, np.nan),
    "one": np.array(7.25),
    "none": np.empty((0, 3)),
    "deep": np.arange(2**16, dtype="i4").reshape((2,) * 16),
    "five": np.arange(3 * 4 * 5 * 60 * 30, dtype="i4").reshape(3, 4, 5, 60, 30),
    "records": np.array([(n, f"n{n}", (n / 4, -n)) for n in range(200)], POINT),
}
TYPED = (
    "i1", "u8", "i8", "big", "f2", "f4", "f8", "c8", "c16", "bool", "S", "U", "M", "m", "nan",
)  # fmt: skip


def write(root: Path) -> None:
    """Write all arrays into a directory."""
    root.mkdir()
    for name, values in ARRAYS.items():
        blosc2.asarray(values, urlpath=str(root / f"{name}.b2nd"), mode="w")
