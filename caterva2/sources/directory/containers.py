"""Files and directories that hold datasets, within a directory that is served.

A directory knows no format of these: it asks each `Format` that it is given whether a file is of
it, and mounts what the format finds in the file below the file's path. The file itself stays a
plain file.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from caterva2.errors import NotFound
from caterva2.names import DatasetPath
from caterva2.runtime.printable import printable
from caterva2.sources.base import Datasets

log = logging.getLogger(__name__)


class Format(ABC):
    """A format of containers, below the one directory that it was made for.

    All methods may block and may be called from several threads at once. A container is named by
    its path in the directory. What is in it is named by paths in the container, and has versions
    that are derived from that of the container and the path.

    Attributes
    ----------
    name : str
        For users, such as ``HDF5``.
    identity : str
        What else the lists and versions depend on, such as versions of libraries. What was saved
        with another identity is not used.
    """

    name: str
    identity: str

    @abstractmethod
    def recognises(self, path: str, fd: int) -> bool:
        """Return whether something is a container of this format, by its content.

        Parameters
        ----------
        path : str
        fd : int
            A descriptor of it: of a regular file, or of a directory.
        """

    @abstractmethod
    def open(self, path: str) -> Datasets:
        """Return what is in a container, whatever its version.

        This costs nothing and fails never: a container is opened when it is listed or read, and is
        closed by the format. `Datasets.scan` raises if it can't be listed now.
        """

    @abstractmethod
    def forget(self, path: str) -> None:
        """Close a container that is gone or is none any more."""

    def warm_up(self) -> None:  # noqa: B027 - most formats have nothing to do
        """Prepare for the first read, since there are containers."""

    @abstractmethod
    def close(self) -> None:
        """Close everything; no method is called after it."""


class Unavailable(Format):
    """A format for which a package is missing: its files are plain files.

    Parameters
    ----------
    name : str
    recognises : callable
        Says of a descriptor whether it is of the format.
    hint : str
        What to install, for the log when the first such file is met.
    """

    def __init__(self, name: str, recognises: Callable[[int], bool], hint: str) -> None:
        self.name = name
        self.identity = "unavailable"
        self._recognises = recognises
        self._hint = hint
        self._told = False

    def recognises(self, path: str, fd: int) -> bool:
        if not self._told and self._recognises(fd):
            self._told = True
            log.warning(
                "%s: %s files are served as files only; %s", printable(path), self.name, self._hint
            )
        return False

    def open(self, path: str) -> Datasets:
        raise NotFound(f"{path} can't be opened: {self._hint}")

    def forget(self, path: str) -> None:
        pass

    def close(self) -> None:
        pass


class Within(Format):
    """A format that was made for a directory, for one that lies in it.

    Parameters
    ----------
    outer : Format
        It may serve other directories too, and is closed by its owner.
    place : str
        Path of the directory in that of the format.
    """

    def __init__(self, outer: Format, place: str) -> None:
        self.name = outer.name
        self.identity = outer.identity
        self._outer = outer
        self._place = place
        self._met: set[str] = set()

    def recognises(self, path: str, fd: int) -> bool:
        if not self._outer.recognises(f"{self._place}/{path}", fd):
            return False
        self._met.add(path)
        return True

    def open(self, path: str) -> Datasets:
        return self._outer.open(f"{self._place}/{path}")

    def forget(self, path: str) -> None:
        self._met.discard(path)
        self._outer.forget(f"{self._place}/{path}")

    def warm_up(self) -> None:
        self._outer.warm_up()

    def close(self) -> None:
        for path in list(self._met):
            self.forget(path)


def inside(container: str, path: str) -> DatasetPath:
    """Return the path in the directory of what is in a container.

    Raises
    ------
    BadName
        If it is too long or too deep.
    """
    return DatasetPath(f"{container}/{path}")
