"""How long readers see what is no more: the time from a change to the first right read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np

from benchmarks import report

Change = Callable[[int], object]
"""Writes a value at the origin."""
Look = Callable[[], object]
"""Reads the value at the end."""
PATIENCE = 3.0
"""Seconds after which a value that is not read is given up."""
PAUSE = 0.005


def of_frame(file: Path) -> Change:
    """Write an array of one value anew, and put it in the place of the former one."""

    def change(value: int) -> None:
        made = file.with_suffix(".new")
        blosc2.asarray(np.full(1000, value), urlpath=str(made), mode="w")
        os.replace(made, file)

    return change


def of_zarr(group: Any, name: str) -> Change:
    """Write all values of an array of a group, which is made here."""
    array = group.create_array(name, data=np.zeros(1000, int), chunks=(1000,), overwrite=True)

    def change(value: int) -> None:
        array[...] = value

    return change


def measured(change: Change, look: Look, count: int) -> str:
    """Make changes; say after how long these are read: the median, and the longest for p99."""
    taken: list[float] = []
    for value in range(1, count + 1):
        change(value)
        began = time.monotonic()
        while (found := _seen(look)) != value:
            if time.monotonic() - began > PATIENCE:
                return f"still reads {found} after {PATIENCE:g} s"
            time.sleep(PAUSE)
        taken.append(time.monotonic() - began)
    taken.sort()
    return f"{report.time(taken[count // 2])}, {report.time(taken[int(0.99 * count)])}"


def _seen(look: Look) -> object:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - of others
        return type(error).__name__
