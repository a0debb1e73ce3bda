"""Locks between the processes that share a cache; each waits for a limited time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 5.0
"""Seconds to wait for a lock; its holders write some chunks, and never wait for a network."""
_FIRST, _LONGEST = 0.001, 0.05  # pauses between two tries


class Locks:
    """Locks by names, which are the beginnings of digests.

    A lock ends with the process that has it, however that ends. Threads of one process exclude
    each other too. Nobody gets one where its file can't be opened: the cache was removed, or may
    only be read.

    Parameters
    ----------
    directory : Path
        For their files, which are empty and stay.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def of(self, name: str, patience: float | None = None) -> Iterator[bool]:
        """Hold a lock; the value is whether it was got within ``patience``, or `PATIENCE`."""
        try:
            file = open_file(self._directory / name)
        except OSError:
            yield False
            return
        with held(file, PATIENCE if patience is None else patience) as owned:
            yield owned


def open_file(path: Path) -> int:
    """Open the file of a lock; it is made if there is none."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def held(file: int, patience: float) -> Iterator[bool]:
    """Lock an open file, and close it at the end; the value is whether it was got in time."""
    try:
        yield _locked(file, patience)
    finally:
        with contextlib.suppress(OSError):  # a process that was forked meanwhile has it open, too
            fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


def _locked(file: int, patience: float) -> bool:
    until, pause = time.monotonic() + patience, _FIRST
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        except OSError:  # a file system without locks
            return False
        else:
            return True
