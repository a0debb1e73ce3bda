"""A service's state directory, locked by one process at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Self

from caterva2.errors import StartError

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Names a run of the machine (Linux)."""
RESTORING = "restoring"
"""File in a state directory while a backup is moved into it."""


def boot() -> str:
    """Return a name for the time since the system started; where it has none, always another."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return secrets.token_hex(8)


class StateDir:
    """A service's directory, locked until it is closed.

    Raises
    ------
    StartError
        If it can't be created or written, another process has locked it, or it is half restored.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(f"statedir {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(self._lock), os.stat(self.path / "lock")):
                raise BlockingIOError  # the directory was replaced meanwhile
        except OSError:
            os.close(self._lock)
            raise StartError(f"statedir {path} is in use by another process") from None
        if (self.path / RESTORING).exists():
            os.close(self._lock)
            raise StartError(
                f"statedir {path} has a part of a backup, whose restoration was interrupted: "
                "remove all that is in it, and restore the backup again"
            )

    @property
    def identity(self) -> str:
        """Name that no other directory has since the system started, not even a copy of this one.

        Programs can't set the time at which a file's inode changed, and copies have inodes of
        their own. Of a machine that is copied as a whole, the copy was started another time.
        """
        status = os.fstat(self._lock)
        return f"{boot()} {status.st_ino} {status.st_ctime_ns}"

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
