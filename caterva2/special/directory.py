"""Directory of one special root: datasets are read from it, and names in it change.

Each change is one rename, so a reader or a crash meets the old state or the new one. Symbolic
links are not followed on the way to a name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from caterva2.errors import BadName, CacheFull, Conflict, NotFound, SourceCorrupt, StaleVersion
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.limits.constants import RECIPE_BYTES
from caterva2.names import DatasetPath
from caterva2.sources import versions
from caterva2.sources.directory.containers import Format
from caterva2.sources.directory.source import DirectorySource
from caterva2.sources.kinds import RECIPE_MAGIC
from caterva2.sources.versions import open_beneath
from caterva2.special.stored import StoredDataset, StoredExpression, StoredMember

Thing = Literal["file", "directory", "nothing"]
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_IN_THE_WAY = (
    errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.EINVAL, errno.ELOOP,
)  # fmt: skip


class SpecialDirectory:
    """The files of a special root.

    All methods block. Those that change names must not run concurrently.

    Parameters
    ----------
    path : Path
        Created if missing.
    limits : SpecialLimits
    formats : sequence of Format
        Formats of files of which the datasets are served too.
    """

    def __init__(
        self,
        path: Path,
        limits: SpecialLimits = DEFAULTS.special,
        formats: Sequence[Format] = (),
    ) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = Path(os.path.realpath(path))
        bounds = replace(DEFAULTS.publisher, file_datasets=limits.file_datasets)
        self.source = DirectorySource(
            self.path, recipes=True, groups=False, formats=formats, limits=bounds
        )
        self._limits = limits

    def close(self) -> None:
        """Close the source."""
        self.source.close()

    # --- reading ---

    def open(self, path: DatasetPath) -> StoredDataset | StoredExpression:
        """Open the current version of a dataset or expression."""
        if self.source.container_of(path):
            return StoredMember.open(self.source, path, self._limits)
        try:
            return StoredDataset.open(self.source, path, self._limits)
        except SourceCorrupt:
            # It may be an expression, or have been one that an array has replaced just now.
            return self._expression(path) or StoredDataset.open(self.source, path, self._limits)

    def _expression(self, path: DatasetPath) -> StoredExpression | None:
        fd = open_beneath(str(self.path), path)
        try:
            version = versions.settled(fd)
            if not version.head.startswith(RECIPE_MAGIC):
                return None
            body = os.pread(fd, RECIPE_BYTES + 1, 0)
            if not versions.unchanged(fd, version):
                raise StaleVersion(f"{path} changed while it was read")
        finally:
            os.close(fd)
        return StoredExpression(path, version.etag, version.mtime, body)

    def thing(self, path: str) -> Thing:
        """Return what is at a path; the empty path is the root itself."""
        try:
            with self._parent(path) as (parent, name):
                mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        except OSError:
            return "nothing"
        return "directory" if stat.S_ISDIR(mode) else "file"

    # --- changing ---

    def put(self, staged: Path, path: DatasetPath) -> None:
        """Rename a file or directory into place; it replaces a file.

        Raises
        ------
        Conflict
            If a directory is in the way, or a file where a directory has to be.
        """
        with os_errors(path), self._parent(path, make=True) as (parent, name):
            os.rename(staged, name, dst_dir_fd=parent)
            os.fsync(parent)

    def take(self, path: str, to: Path) -> None:
        """Move a file or directory out into another directory; everything for the empty path.

        Raises
        ------
        NotFound
        """
        if not path:
            for child in list(os.scandir(self.path)):
                os.rename(child.path, to / child.name)
            return
        try:
            with self._parent(path) as (parent, name):
                os.rename(name, to / name, src_dir_fd=parent)
                os.fsync(parent)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            raise NotFound("The specified path does not exist") from None
        self._prune(path)

    def rename(self, path: str, other: SpecialDirectory, to: DatasetPath) -> None:
        """Move a file or directory within this root or to another one.

        Raises
        ------
        NotFound, Conflict
        """
        with os_errors(to), other._parent(to, make=True) as (parent, name):
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
        """Remove the parent directories that are empty now: they are not listed anyway."""
        parts = path.split("/")[:-1]
        with contextlib.suppress(OSError):
            while parts:
                with self._parent("/".join(parts)) as (parent, name):
                    os.rmdir(name, dir_fd=parent)
                parts.pop()

    @contextlib.contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Open the directory that a path lies in, and yield it with the name there."""
        *parts, name = path.split("/") if path else ["."]
        current = os.open(self.path, _DIRECTORY)
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
def os_errors(path: str) -> Iterator[None]:
    """Translate errors of the operating system while a path is written.

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
