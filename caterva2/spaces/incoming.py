"""Where what comes in is written, until it is whole and takes its place in one step."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Self

from caterva2 import durable
from caterva2.spaces.allowance import Allowance


class Staged:
    """A file or a directory that is being made; gone at the end unless it took its place.

    Parameters
    ----------
    path : Path
        Where it is to be made.
    allowance : Allowance
        Which counts it.
    """

    def __init__(self, path: Path, allowance: Allowance) -> None:
        self.path = path
        self._allowance = allowance
        self._counted = 0

    def count(self, size: int) -> None:
        """Count bytes that are about to be written; `QuotaExceeded` if they are too many."""
        self._allowance.take(size)
        self._counted += size

    def open(self) -> Sink:
        """Begin to write it as one file."""
        return Sink(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        remove(self.path)
        self._allowance.give(self._counted)


class Sink:
    """A new file that is counted while it grows."""

    def __init__(self, staged: Staged, path: Path | None = None) -> None:
        self._staged = staged
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(path or staged.path, flags, 0o600)
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write some more; `QuotaExceeded` if that is too much."""
        self._staged.count(len(data))
        self.size = durable.pwrite(self._fd, memoryview(data), self.size)

    def finish(self) -> None:
        """Flush it to the disk."""
        os.fsync(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class Incoming:
    """The directory for that; what a killed process left in it is removed.

    Parameters
    ----------
    directory : Path
        On the file system of the special roots.
    allowance : Allowance
    """

    def __init__(self, directory: Path, allowance: Allowance) -> None:
        self._directory = directory
        self._allowance = allowance
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in directory.iterdir():
            remove(left)

    def file(self) -> Staged:
        """A name for a new file."""
        return Staged(self._directory / secrets.token_hex(12), self._allowance)

    def tree(self) -> Staged:
        """A new directory."""
        staged = self.file()
        staged.path.mkdir(mode=0o700)
        return staged


def remove(path: Path) -> None:
    """Remove a file or directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
