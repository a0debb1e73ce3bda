"""Atomic, durable replacement of files, and writing and copying that is complete or fails."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CLOSED_IN_CHILDREN: int = getattr(os, "O_CLOEXEC", 0)
"""Flag of files that processes that are started do not get; elsewhere none of them is."""
_DESCRIPTORS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""Answers of file systems that leave copying to the program."""
_PIECE = 2**20
"""Bytes that are copied at once then."""
_SYNCS, _BATCH = 8, 1024
"""Files that are flushed at once, and those that wait for their turn."""


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file atomically: write beside it, flush to the disk, rename.

    Its permissions are those of ``mode`` from the beginning.

    Raises
    ------
    OSError
        If writing failed; the old file is still there then.
    """
    write_pieces(path, [content], mode)


def write_pieces(path: Path, pieces: Iterable[bytes], mode: int = 0o600) -> None:
    """Replace a file atomically by pieces of content that are produced while it is written.

    Raises
    ------
    OSError
        If writing failed; the old file is still there then.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            if hasattr(os, "fchmod"):
                os.fchmod(handle, mode)
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def pread(fd: int, size: int, offset: int) -> bytes:
    """Read some bytes at an offset, or fewer.

    Where the system can't, the position of the file is moved: each thread has to open it then.
    """
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)


def pwrite(fd: int, data: bytes | memoryview, offset: int) -> int:
    """Write all of some bytes at an offset, and return the offset behind them.

    Raises
    ------
    OSError
        If not all could be written.
    """
    view = memoryview(data)
    while view:
        written = _pwrite(fd, view, offset)
        view = view[written:]
        offset += written
    return offset


def _pwrite(fd: int, data: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(fd, data, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.write(fd, data)


def path_of(descriptor: int) -> Path:
    """Return a path that leads to an open file, whatever its own name leads to by now."""
    return Path(_DESCRIPTORS, str(descriptor))


def unnamed(name: str) -> int:
    """Open a new file without a name on any disk, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    with tempfile.TemporaryFile(prefix=name) as file:
        return os.dup(file.fileno())


def reserve(file: int, size: int) -> None:
    """Make a file that is empty as long as it will be, with room on the disk where the system can.

    Raises
    ------
    OSError
        If there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)


def copy(source: int, at: int, target: int, offset: int, size: int) -> None:
    """Copy bytes of one file to a place in another, by reference where the file system can.

    Raises
    ------
    OSError
        If not all could be copied.
    """
    while size:
        try:
            copied = os.copy_file_range(source, target, size, at, offset)
        except (OSError, AttributeError) as error:  # not every system has it
            if isinstance(error, OSError) and error.errno not in _CANNOT_COPY:
                raise
            piece = pread(source, min(size, _PIECE), at)
            copied = pwrite(target, piece, offset) - offset
        if not copied:
            raise OSError(errno.EIO, "the file ends before what is copied of it")
        at, offset, size = at + copied, offset + copied, size - copied


def sync_directory(directory: Path) -> None:
    """Flush a directory to the disk, so that renames in it survive a loss of power.

    Systems on which directories can't be opened do that by themselves.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(directory: Path) -> None:
    """Flush all files and directories below a directory to the disk, several at once.

    A file system writes many files together then, where one after the other waits for each.
    """
    with ThreadPoolExecutor(_SYNCS) as pool:
        for where, _, names in os.walk(directory):
            for start in range(0, len(names), _BATCH):
                files = (Path(where, name) for name in names[start : start + _BATCH])
                deque(pool.map(_sync_file, files), maxlen=0)  # raises what one of them raised
            sync_directory(Path(where))


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
