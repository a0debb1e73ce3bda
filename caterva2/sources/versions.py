"""Files and their versions: an etag that differs whenever the content differs."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from caterva2.errors import Busy, NotFound

EDGE = 4096
"""Bytes of the file's head and of its tail that enter the etag."""
TICK = 0.02
"""Coarsest step of a file system's clock in seconds: two writes within one look the same."""
_SETTLE_TRIES = 25


@dataclass(frozen=True, slots=True)
class Version:
    """A file's version, and what its etag is derived from; sizes in bytes, mtime in seconds."""

    etag: str
    size: int
    mtime: float
    stamp: tuple[int, int, int, int]
    head: bytes
    tail: bytes


def of(fd: int, status: os.stat_result | None = None) -> Version:
    """Return the version of an open file, whose status may be known.

    It is derived from the file's identity, size, both times and a digest of its head and tail,
    since equal length and time alone would miss a rewrite.
    """
    if status is None:
        status = os.fstat(fd)
    head = os.pread(fd, EDGE, 0)
    is_small = status.st_size == len(head)
    tail = head if is_small else os.pread(fd, EDGE, max(status.st_size - EDGE, 0))
    marks = stamp(status)
    digest = hashlib.blake2b(repr(marks).encode(), digest_size=12)
    digest.update(head)
    digest.update(tail)
    return Version(digest.hexdigest(), status.st_size, status.st_mtime, marks, head, tail)


def settled(fd: int) -> Version:
    """Wait until an open file was not written within the last clock tick; return its version.

    Any later write changes the file's stamp, so comparing stamps after a read shows whether the
    bytes read are of this version.

    Raises
    ------
    Busy
        If the file is being written continuously.
    """
    for _ in range(_SETTLE_TRIES):
        status = os.fstat(fd)
        age = time.time() - max(status.st_mtime, status.st_ctime)
        if not 0 <= age < TICK:
            return of(fd, status)
        time.sleep(TICK - age)
    raise Busy("the file is being written", after_ms=500)


def unchanged(fd: int, version: Version) -> bool:
    """Return whether an open file still has a version."""
    return stamp(os.fstat(fd)) == version.stamp


def stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return the fields of a file's status that change when the file is written."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(frozen=True, slots=True)
class FilePlace:
    """The place of a file by itself, or of one below a directory that it must not leave.

    Parameters
    ----------
    root : Path
        The file, or the directory without links on its way.
    below : str, optional
        Path of the file relative to the directory.
    """

    root: Path
    below: str = ""

    @property
    def path(self) -> Path:
        return self.root / self.below if self.below else self.root

    def open(self) -> int:
        """Open the file for reading; raise `NotFound` if no regular file is there."""
        if self.below:
            return open_beneath(str(self.root), self.below)
        try:
            fd = os.open(self.root, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise NotFound(f"the file can't be opened: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise NotFound("it is not a regular file")
        return fd

    def stamp(self) -> tuple[int, ...]:
        """Return what the file system says about the file's version; nothing if it is gone."""
        try:
            return stamp(os.stat(self.path))
        except OSError:
            return ()


def open_beneath(root: str, path: str) -> int:
    """Open a regular file below a directory, never one outside of it.

    Each component is opened without following links. A link is followed only if its target
    lies below the directory too.

    Raises
    ------
    NotFound
        If there is no such regular file below the directory, or it can't be read.
    """
    try:
        fd = _walk(root, path.split("/"))
    except OSError:
        real = os.path.realpath(os.path.join(root, path))
        if real == os.path.join(root, path) or not _is_beneath(root, real):
            raise NotFound(f"{path} does not exist") from None
        try:
            fd = _walk(root, os.path.relpath(real, root).split("/"))
        except OSError:
            raise NotFound(f"{path} does not exist") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotFound(f"{path} is not a regular file")
    return fd


def open_directory_beneath(root: str, path: str) -> int:
    """Open a directory below another one without following any link; "" is the root itself.

    Raises
    ------
    OSError
        If that is not possible.
    """
    fd = _walk(root, path.split("/") if path else [])
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return fd


def _is_beneath(root: str, real: str) -> bool:
    return real.startswith(root.rstrip("/") + "/")


def _walk(root: str, parts: list[str]) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for n, part in enumerate(parts):
        kind = os.O_DIRECTORY if n < len(parts) - 1 else 0
        try:
            below = os.open(part, flags | kind, dir_fd=current)
        finally:
            os.close(current)
        current = below
    return current
