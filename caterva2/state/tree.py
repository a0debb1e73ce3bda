"""Files below a directory: walked and opened without following a link, and copied with digests."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from caterva2.limits.constants import MIB
from caterva2.runtime import durable
from caterva2.state.errors import BackupFailed
from caterva2.state.manifest import new_digest

_TOP = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_DIRECTORY = _TOP | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What opening answers where a name was removed, or stands for something else meanwhile."""
COARSE = 2 * 10**9
"""Nanoseconds within which two changes of a directory may have one time."""
RESTLESS = 60 * 10**9
"""Nanoseconds since its last change for which a file may be one that a program writes now."""
_DEPTH = 256
"""Directories below each other: a path has no more that users can make."""
Stamp = tuple[int, int, int, int]
"""Inode, size and times of a file: they differ if it was written or replaced."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or an empty directory, which has no stamp, or what is left out, with the reason."""

    path: str
    stamp: Stamp | None = None
    left_out: str = ""


def walk(top: Path, wanted: Callable[[str], bool], links: Collection[str] = ()) -> Iterator[Found]:
    """Yield the files and empty directories below a directory in order.

    Links and special files are left out; what is removed meanwhile does not appear.

    Parameters
    ----------
    top : Path
    wanted : callable
        Says whether a path below the top is looked at; if not, nothing below it is.
    links : collection of str
        Paths that may be links, since an administrator makes them.

    Raises
    ------
    OSError
        If a directory can't be read.
    """
    for listing in Survey(top, wanted, links).listings():
        yield from listing.found


@dataclass(frozen=True, slots=True)
class Listing:
    """The contents of a directory.

    Parameters
    ----------
    path : str
        Of the directory, with a slash at its end; empty for the top.
    found : tuple of Found
    below : tuple of str
        Paths of the directories in it.
    stamp : Stamp, optional
        Of the directory, if it shows that names in it change, and all files in it rest.
    """

    path: str
    found: tuple[Found, ...]
    below: tuple[str, ...]
    stamp: Stamp | None = None


class Survey:
    """A look at all directories below one, see `walk`.

    Parameters
    ----------
    top : Path
    wanted : callable
    links : collection of str, optional
    known : mapping of str to Listing, optional
        Of an earlier survey: a directory whose stamp is the same is not listed again. Files that
        a program wrote in it without changing a name, after they had rested, go unseen.
    """

    def __init__(
        self,
        top: Path,
        wanted: Callable[[str], bool],
        links: Collection[str] = (),
        known: Mapping[str, Listing] = MappingProxyType({}),
    ) -> None:
        self._top = top
        self._wanted = wanted
        self._links = links
        self._known = known

    def listings(self) -> Iterator[Listing]:
        """Yield a listing of each directory; a known one if nothing has changed."""
        return self._below("", os.open(self._top, _TOP))

    def _below(self, path: str, directory: int) -> Iterator[Listing]:
        try:
            if path.count("/") > _DEPTH:
                raise BackupFailed(f"{path[:200]} has more than {_DEPTH} directories above it")
            stamp = stamp_of(os.fstat(directory))
            listing = self._known.get(path)
            if listing is None or listing.stamp != stamp:
                listing = self._listed(path, directory, stamp)
            yield listing
            for name in listing.below:
                flags = _TOP if name in self._links else _DIRECTORY
                try:
                    found = os.open(name.rpartition("/")[2], flags, dir_fd=directory)
                except OSError as error:
                    if error.errno not in GONE:
                        raise
                    continue
                yield from self._below(f"{name}/", found)
        finally:
            os.close(directory)

    def _listed(self, path: str, directory: int, stamp: Stamp) -> Listing:
        now = time.time_ns()
        names = sorted(os.listdir(directory))
        found: list[Found] = [] if names or not path else [Found(path[:-1])]
        below = []
        for one in filter(self._wanted, (f"{path}{name}" for name in names)):
            try:
                at = _at(one, directory, one in self._links)
            except OSError as error:
                if error.errno not in GONE:
                    raise
                continue
            below.append(one) if at is None else found.append(at)
        changed = max((one.stamp[3] for one in found if one.stamp), default=0)
        rests = path and stamp[3] < now - COARSE and changed < now - RESTLESS
        return Listing(path, tuple(found), tuple(below), stamp if rests else None)


def _at(path: str, directory: int, link: bool) -> Found | None:
    """Return what is at a path in an open directory; None for another directory."""
    status = os.stat(path.rpartition("/")[2], dir_fd=directory, follow_symlinks=link)
    if stat.S_ISDIR(status.st_mode):
        return None
    if stat.S_ISREG(status.st_mode):
        return Found(path, stamp_of(status))
    kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "neither file nor directory"
    return Found(path, left_out=kind)


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp of a file."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def open_below(top: Path, path: str, links: Collection[str] = ()) -> int:
    """Open a regular file below a directory, on a way without other links than some.

    Raises
    ------
    OSError
    """
    current, at = os.open(top, _TOP), ""
    *parts, name = path.split("/")
    try:
        for part in parts:
            at = f"{at}/{part}" if at else part
            following = os.open(part, _TOP if at in links else _DIRECTORY, dir_fd=current)
            os.close(current)
            current = following
        file = os.open(name, _FILE, dir_fd=current)
    finally:
        os.close(current)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(top / path))
    return file


def copy(
    source: int, target: Path, cut: bool = False, check: Callable[[], None] = lambda: None
) -> tuple[int, str]:
    """Copy an open file to a new one, and return the size and digest of the copy.

    Zeros are left out of the copy as far as the file system has files with holes.

    Parameters
    ----------
    source : int
    target : Path
    cut : bool
        Whether the copy ends with the last line that is whole.
    check : callable
        Called before each piece is written; ends the copy by an error.

    Raises
    ------
    OSError
    """
    make_directory(target.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    copied = os.open(target, flags, 0o600)
    try:
        digest, size = new_digest(), 0
        for piece in _pieces(source, cut):
            check()
            digest.update(piece)
            if piece.count(0) < len(piece):
                durable.pwrite(copied, piece, size)
            size += len(piece)
        os.ftruncate(copied, size)
        mtime = os.fstat(source).st_mtime_ns
        os.utime(copied, ns=(mtime, mtime))
    finally:
        os.close(copied)
    return size, digest.hexdigest()


def make_directory(path: Path) -> None:
    """Make a directory and those above it that are missing, each for its owner only."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def digest_of(file: int) -> tuple[int, str]:
    """Return the size and digest of an open file."""
    digest, size = new_digest(), 0
    for piece in _pieces(file):
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


def _pieces(file: int, cut: bool = False) -> Iterator[bytes]:
    at = 0
    while piece := os.pread(file, MIB, at):
        at += len(piece)
        last = len(piece) < MIB
        yield piece[: piece.rfind(b"\n") + 1] if cut and last else piece
        if last:
            return
