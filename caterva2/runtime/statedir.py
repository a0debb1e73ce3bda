"""A service's state directory, held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from caterva2.errors import StartError


class StateDir:
    """A service's directory, held by one process at a time.

    Raises
    ------
    StartError
        If it can't be made or written, or another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(f"statedir {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StartError(f"statedir {path} is in use by another process") from None

    def close(self) -> None:
        os.close(self._lock)
