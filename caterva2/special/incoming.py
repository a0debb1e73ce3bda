"""Staging area: new files are written here and renamed into place when complete."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from caterva2.errors import SlowDown
from caterva2.limits import DEFAULTS
from caterva2.runtime import durable
from caterva2.special.quota import SpecialQuota


class Staged:
    """A file or directory in the staging area; removed at the end unless committed.

    Parameters
    ----------
    path : Path
        Where it is written.
    quota : SpecialQuota
        Counts its bytes.
    leave : callable, optional
        Called once when it is discarded.
    """

    def __init__(
        self, path: Path, quota: SpecialQuota, leave: Callable[[], None] | None = None
    ) -> None:
        self.path = path
        self._leave = leave
        self._quota = quota
        self.counted = 0
        """Bytes of it that count against the quota."""

    def count(self, size: int) -> None:
        """Count bytes that are about to be written; `QuotaExceeded` if they do not fit."""
        self._quota.take(size)
        self.counted += size

    def recount(self, size: int) -> None:
        """Count so many bytes from now on, which are on the disk already."""
        self._quota.release(self.counted - size)
        self.counted = size

    def open(self, relative: str = "", at: int = 0) -> Sink:
        """Open the file, or a file in the directory, for writing; keep its first bytes only."""
        path = self.path / relative if relative else self.path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Sink(self, path, at)

    def committed(self) -> None:
        """Stop counting it as incoming: it is counted as stored now."""
        self._quota.release(self.counted)
        self.counted = 0

    def discard(self) -> None:
        """Remove what was not committed."""
        remove(self.path)
        self.committed()
        if self._leave is not None:
            self._leave()
            self._leave = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Sink:
    """A file that is counted against the quota while it is written.

    Parameters
    ----------
    staged : Staged
        Which counts it.
    path : Path
        Of the file; an existing one is truncated.
    at : int
        Bytes of it that are kept.
    """

    def __init__(self, staged: Staged, path: Path, at: int = 0) -> None:
        self._staged = staged
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        os.ftruncate(self._fd, at)
        self.size = at

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append data; `QuotaExceeded` if it does not fit."""
        self._staged.count(len(data))
        self.size = durable.pwrite(self._fd, memoryview(data), self.size)

    def finish(self) -> None:
        """Flush it to the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Incoming:
    """The directory of staged files; leftovers of a killed process are removed.

    Parameters
    ----------
    directory : Path
        On the file system of the special roots.
    quota : SpecialQuota
    max_staged : int
        Files and directories that are staged at once.
    """

    def __init__(
        self,
        directory: Path,
        quota: SpecialQuota,
        max_staged: int = DEFAULTS.special.uploads,
    ) -> None:
        self.quota = quota
        self._max_staged = max_staged
        self._directory = directory
        self._lock = threading.Lock()
        self._count = 0
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in directory.iterdir():
            remove(left)

    def file(self) -> Staged:
        """Return a name for a new file.

        Raises
        ------
        SlowDown
            If UPLOADS others are staged.
        """
        with self._lock:
            if self._count >= self._max_staged:
                raise SlowDown(
                    f"too many uploads are under way (UPLOADS={self._max_staged})", after_ms=2000
                )
            self._count += 1
        return Staged(self._directory / secrets.token_hex(12), self.quota, self.leave)

    def tree(self) -> Staged:
        """Create a new directory."""
        staged = self.file()
        try:
            staged.path.mkdir(mode=0o700)
        except OSError:
            staged.discard()
            raise
        return staged

    def leave(self) -> None:
        """Count one staged file or directory less."""
        with self._lock:
            self._count -= 1


def remove(path: Path) -> None:
    """Remove a file or directory if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
