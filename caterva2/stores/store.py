"""Objects by their keys, with stamps that tell their versions apart, in whatever holds them."""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from caterva2.errors import NotFound, SourceCorrupt
from caterva2.limits import constants
from caterva2.sources import versions

ODD = "odd"
"""The stamp of what is neither a directory nor a regular file, such as a link."""
_NO_DIRECTORY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

Enter = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Stamp:
    """The version of an object.

    ``text`` differs whenever the content does, but for changes within one tick of the clock
    after ``changed``, which is in seconds; 0 where the text is derived from the content.
    """

    text: str
    size: int
    mtime: float
    changed: float = 0.0

    def is_settled(self, seen: float, until: float = 0.0) -> bool:
        """Return whether no later change can look like this, for an object seen at a time.

        Of an object that was seen between two times, these are ``seen`` and ``until``.
        """
        return not seen - versions.TICK < self.changed <= max(seen, until)


class Store(ABC):
    """Objects below a place. All methods may block and be called from several threads.

    They raise `SourceCorrupt` where the store as a whole can't be read, `RootOffline` where it
    can't be reached, `DeadlineExceeded` at the thread's deadline, see `deadlines`.
    """

    @property
    def refused(self) -> Mapping[str, str]:
        """The keys of what can't be read, with the reasons."""
        return {}

    def renew(self) -> None:  # noqa: B027 - most keep no list
        """Look anew at what there is: lists that were kept hold no longer."""

    @abstractmethod
    def children(self, prefix: str) -> tuple[dict[str, Stamp], list[str]]:
        """Return the objects right below a prefix by their names, and the names that go deeper."""

    def below(self, prefix: str, enter: Enter) -> Iterator[tuple[str, Stamp]]:
        """Yield all objects below a prefix, by their keys from there on.

        Parameters
        ----------
        prefix : str
        enter : callable
            Says of the name of a folder whether it is of interest.

        Raises
        ------
        SourceCorrupt
            If they lie too deep.
        """
        pending = [""]
        while pending:
            place = pending.pop()
            if place.count("/") > constants.PATH_DEPTH:
                raise SourceCorrupt(f"{prefix} has objects that lie too deep")
            files, folders = self.children(f"{prefix}/{place}".strip("/"))
            start = f"{place}/" if place else ""
            yield from ((start + name, stamp) for name, stamp in files.items())
            pending += [start + name for name in folders if enter(name)]

    @abstractmethod
    def read(
        self,
        key: str,
        most: int,
        start: int = 0,
        stop: int | None = None,
        expected: Stamp | None = None,
    ) -> tuple[bytes, Stamp] | None:
        """Return bytes of an object and its stamp, None if it does not exist.

        Parameters
        ----------
        key : str
        most : int
            Bytes from which on it is refused.
        start, stop : int, optional
            The range; a negative start counts from the end.
        expected : Stamp, optional
            The version that is wanted: of another one there may be no bytes, but its stamp.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing open
        """Close files; no method is called after it."""


class DirectoryStore(Store):
    """Files below a directory; links are not followed.

    Parameters
    ----------
    directory : Path
    """

    def __init__(self, directory: Path) -> None:
        self._root = os.path.realpath(directory)

    def children(self, prefix: str) -> tuple[dict[str, Stamp], list[str]]:
        files, folders = {}, []
        try:
            fd = versions.open_directory_beneath(self._root, prefix)
        except OSError as error:
            if error.errno in _NO_DIRECTORY:
                return {}, []
            raise SourceCorrupt(f"{prefix} can't be listed: {error.strerror}") from None
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                        continue
                    try:
                        files[entry.name] = stamp_of(entry.stat(follow_symlinks=False))
                    except FileNotFoundError:
                        continue
        except OSError as error:
            raise SourceCorrupt(f"{prefix} can't be listed: {error.strerror}") from None
        finally:
            os.close(fd)
        return files, folders

    def read(
        self,
        key: str,
        most: int,
        start: int = 0,
        stop: int | None = None,
        expected: Stamp | None = None,
    ) -> tuple[bytes, Stamp] | None:
        try:
            fd = versions.open_beneath(self._root, key)
        except NotFound:
            return None
        try:
            stamp = stamp_of(os.fstat(fd))
            begin, end = span(key, stamp.size, most, start, stop)
            data = os.pread(fd, end - begin, begin)
            return data, stamp_of(os.fstat(fd))
        finally:
            os.close(fd)


def span(key: str, size: int, most: int, start: int, stop: int | None) -> tuple[int, int]:
    """Return where a range of an object begins and ends, see `Store.read`.

    Raises
    ------
    SourceCorrupt
        If it has more than ``most`` bytes.
    """
    begin = max(0, size + start) if start < 0 else min(start, size)
    end = max(begin, size if stop is None else min(stop, size))
    if end - begin > most:
        raise too_large(key, end - begin, most)
    return begin, end


def too_large(key: str, size: int, most: int) -> SourceCorrupt:
    """Return the error about an object that is larger than it can be."""
    return SourceCorrupt(f"{key} has {size} bytes, more than {most}")


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp of a file by its status."""
    if not stat.S_ISREG(status.st_mode):
        return Stamp(ODD, 0, 0.0)
    text = " ".join(map(str, versions.stamp(status)))
    return Stamp(text, status.st_size, status.st_mtime, max(status.st_mtime, status.st_ctime))
