"""Where what comes in is written, until it is whole and takes its place in one step."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
from pathlib import Path
from typing import Self

from caterva2 import limits
from caterva2.errors import SlowDown
from caterva2.runtime import durable
from caterva2.special.quota import SpaceQuota


class Staged:
    """A file or a directory that is being made; gone at the end unless it took its place.

    Parameters
    ----------
    path : Path
        Where it is to be made.
    incoming : Incoming
        Which counts it.
    """

    def __init__(self, path: Path, incoming: Incoming) -> None:
        self.path = path
        self._incoming: Incoming | None = incoming
        self._allowance = incoming.allowance
        self._counted = 0

    def count(self, size: int) -> None:
        """Count bytes that are about to be written; `QuotaExceeded` if they are too many."""
        self._allowance.take(size)
        self._counted += size

    def open(self, relative: str = "") -> Sink:
        """Begin to write it as one file, or one of the files in it anew."""
        path = self.path / relative if relative else self.path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Sink(self, path)

    def placed(self) -> None:
        """It took its place, and is counted there now."""
        self._allowance.give(self._counted)
        self._counted = 0

    def discard(self) -> None:
        """Remove what did not take its place."""
        remove(self.path)
        self.placed()
        if self._incoming is not None:
            self._incoming.leave()
            self._incoming = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Sink:
    """A file that is counted while it grows.

    Parameters
    ----------
    staged : Staged
        That counts it.
    path : Path
        Of the file; one that is there is emptied.
    """

    def __init__(self, staged: Staged, path: Path) -> None:
        self._staged = staged
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write some more; `QuotaExceeded` if that is too much."""
        self._staged.count(len(data))
        self.size = durable.pwrite(self._fd, memoryview(data), self.size)

    def finish(self) -> None:
        """Flush it to the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close it; nobody writes any more."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Incoming:
    """The directory for that; what a killed process left in it is removed.

    Parameters
    ----------
    directory : Path
        On the file system of the special roots.
    allowance : SpaceQuota
    """

    def __init__(self, directory: Path, allowance: SpaceQuota) -> None:
        self.allowance = allowance
        self._directory = directory
        self._lock = threading.Lock()
        self._count = 0
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in directory.iterdir():
            remove(left)

    def file(self) -> Staged:
        """A name for a new file.

        Raises
        ------
        SlowDown
            If as many are being made as `limits` allows.
        """
        with self._lock:
            if self._count >= limits.UPLOADS:
                raise SlowDown(f"UPLOADS, {limits.UPLOADS}, are under way", after_ms=2000)
            self._count += 1
        return Staged(self._directory / secrets.token_hex(12), self)

    def tree(self) -> Staged:
        """A new directory."""
        staged = self.file()
        try:
            staged.path.mkdir(mode=0o700)
        except OSError:
            staged.discard()
            raise
        return staged

    def leave(self) -> None:
        """One of them is done."""
        with self._lock:
            self._count -= 1


def remove(path: Path) -> None:
    """Remove a file or directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
