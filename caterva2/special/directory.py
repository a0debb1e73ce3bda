"""One special root: a directory, from which datasets are read and in which names change.

Each change is one rename, so that whoever looks, or whatever kills the process, meets the old
state or the new one. No link is followed on the way to a name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from caterva2 import limits
from caterva2.errors import BadName, CacheFull, Conflict, NotFound, SourceCorrupt, StaleVersion
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.sources import versions
from caterva2.sources.directory.source import DirectorySource
from caterva2.sources.kinds import RECIPE_MAGIC
from caterva2.sources.versions import open_beneath
from caterva2.special.stored import StoredDataset, StoredExpression

Thing = Literal["file", "directory", "nothing"]
LOOK_MS = 100
"""How often changes are looked for: those that others make here are few, and may take a moment."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_IN_THE_WAY = (
    errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.EINVAL, errno.ELOOP,
)  # fmt: skip


class Space:
    """All methods block, and those that change something are called one at a time.

    Parameters
    ----------
    directory : Path
        Made if it does not exist.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = Path(os.path.realpath(directory))
        self.source = DirectorySource(self.directory, look_ms=LOOK_MS, recipes=True)

    def close(self) -> None:
        self.source.close()

    # --- reading ---

    def scan(self, scope: str) -> dict[DatasetPath, Entry]:
        """All datasets whose path is the scope or lies below it."""
        return self.source.scan(scope)

    def open(self, path: DatasetPath) -> StoredDataset | StoredExpression:
        """The current version of a dataset, or what it is computed of."""
        try:
            return StoredDataset.open(self.source, path)
        except SourceCorrupt:
            # What is neither may have been an expression, and just now become an array.
            return self._document(path) or StoredDataset.open(self.source, path)

    def _document(self, path: DatasetPath) -> StoredExpression | None:
        fd = open_beneath(str(self.directory), path)
        try:
            version = versions.settled(fd)
            if not version.head.startswith(RECIPE_MAGIC):
                return None
            body = os.pread(fd, limits.RECIPE_BYTES + 1, 0)
            if not versions.unchanged(fd, version):
                raise StaleVersion(f"{path} changed while it was read")
        finally:
            os.close(fd)
        return StoredExpression(path, version.etag, version.mtime, body)

    def thing(self, path: str) -> Thing:
        """What is at a path; the empty path is the space itself."""
        try:
            with self._parent(path) as (parent, name):
                mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        except OSError:
            return "nothing"
        return "directory" if stat.S_ISDIR(mode) else "file"

    # --- changing ---

    def put(self, staged: Path, path: DatasetPath) -> None:
        """Give a file or directory its place, and a file that was there goes.

        Raises
        ------
        Conflict
            If a directory is in the way, or a file where a directory has to be.
        """
        with naming(path), self._parent(path, make=True) as (parent, name):
            os.rename(staged, name, dst_dir_fd=parent)
            os.fsync(parent)

    def take(self, path: str, to: Path) -> None:
        """Move a file or directory out, into another directory; for the empty path all there is.

        Raises
        ------
        NotFound
        """
        if not path:
            for child in list(os.scandir(self.directory)):
                os.rename(child.path, to / child.name)
            return
        try:
            with self._parent(path) as (parent, name):
                os.rename(name, to / name, src_dir_fd=parent)
                os.fsync(parent)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("The specified path does not exist") from None
        self._prune(path)

    def rename(self, path: str, other: Space, to: DatasetPath) -> None:
        """Move a file or directory to a place in this space or another one.

        Raises
        ------
        NotFound, Conflict
        """
        with naming(to), other._parent(to, make=True) as (parent, name):
            try:
                with self._parent(path) as (old_parent, old_name):
                    os.stat(old_name, dir_fd=old_parent, follow_symlinks=False)
                    os.rename(old_name, name, src_dir_fd=old_parent, dst_dir_fd=parent)
                    os.fsync(old_parent)
            except FileNotFoundError:
                raise NotFound("The specified path does not exist") from None
            os.fsync(parent)
        self._prune(path)

    def _prune(self, path: str) -> None:
        """Remove the directories that have become empty: they are not listed anyway."""
        parts = path.split("/")[:-1]
        with contextlib.suppress(OSError):
            while parts:
                with self._parent("/".join(parts)) as (parent, name):
                    os.rmdir(name, dir_fd=parent)
                parts.pop()

    @contextlib.contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open directory that a path lies in, and its name there."""
        *parts, name = path.split("/") if path else ["."]
        current = os.open(self.directory, _DIRECTORY)
        try:
            for part in parts:
                if make:
                    _make(part, current)
                below = os.open(part, _DIRECTORY, dir_fd=current)
                os.close(current)
                current = below
            yield current, name
        finally:
            os.close(current)


def _make(name: str, parent: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
        os.fsync(parent)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Say what the system's refusal to write something means for whoever asked for it.

    Raises
    ------
    Conflict, BadName, CacheFull, NotFound
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise CacheFull(f"{path} does not fit on the disk: {error.strerror}") from None
        if error.errno == errno.ENOENT:
            raise NotFound(f"{path} can't be put there: the root is gone") from None
        if error.errno == errno.ENAMETOOLONG:
            raise BadName(f"{path[:80]!r} has a name that is too long for a file") from None
        if error.errno in _IN_THE_WAY:
            raise Conflict(f"{path} can't be put there: {error.strerror}") from None
        raise
