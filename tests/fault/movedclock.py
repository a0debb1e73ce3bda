"""A clock of processes that moves at once by hours, as it does while a machine sleeps."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SECONDS = struct.Struct("=q")
needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="it needs Linux and cc"
)


class MovedClock:
    """The time of all processes that are started with its environment, of any clock.

    Parameters
    ----------
    directory : Path

    Attributes
    ----------
    environment : dict of str to str
    """

    def __init__(self, directory: Path) -> None:
        self._file, library = directory / "moved-seconds", directory / "moved_clock.so"
        self._file.write_bytes(_SECONDS.pack(0))
        made = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
        subprocess.run([*made, str(Path(__file__).with_name("moved_clock.c")), "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._file)}
        self._moved = 0

    @property
    def now(self) -> float:
        """Seconds since 1970 in these processes."""
        return time.time() + self._moved

    def move(self, seconds: int) -> None:
        self._moved += seconds
        with self._file.open("r+b") as file:
            file.write(_SECONDS.pack(self._moved))
