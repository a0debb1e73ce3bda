"""One file that holds the bytes, for readers that open files by their paths."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def written(name: str, data: bytes) -> Iterator[Path]:
    """A file with these bytes, in memory; removed at once, as the process may end at any time."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        path = Path(directory) / name
        path.write_bytes(data)
        yield path
