"""What a directory to be exported holds: arrays, directories with their notes, and their order."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from caterva2.conversion import notes
from caterva2.conversion.notes import Group
from caterva2.conversion.report import Report
from caterva2.errors import SourceCorrupt
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.sources.kinds import kind_of


class Tree:
    """The directories and arrays below a directory; paths are relative to it.

    Parameters
    ----------
    source : Path
    entries : dict
        What is served of it.
    """

    def __init__(self, source: Path, entries: dict[DatasetPath, Entry]) -> None:
        self._source = source
        self.entries = entries
        self.others = [path for path, entry in entries.items() if entry.kind != "array"]
        self.size = sum(entry.size for entry in entries.values())
        self._children: dict[str, set[str]] = defaultdict(set)
        for path, entry in entries.items():
            if entry.kind == "array":
                self._add(path)
        for directory in self._directories():
            self._add(directory)

    def _directories(self) -> Iterator[str]:
        for where, below, _ in os.walk(self._source):
            below[:] = [
                name for name in below if not name.startswith(".") and kind_of(name) == "file"
            ]
            for name in below:
                yield os.path.relpath(os.path.join(where, name), self._source)

    def _add(self, path: str) -> None:
        while path:
            directory, _, name = path.rpartition("/")
            self._children[directory].add(name)
            path = directory

    def children(self, directory: str, order: list[str], more: Iterable[str] = ()) -> list[str]:
        """Return the paths below a directory, those that an order names first.

        Parameters
        ----------
        directory : str
        order : list of str
        more : iterable of str, optional
            Names of what is no file, and has its place among the others.
        """
        places = {name: n for n, name in enumerate(order)}

        def place(name: str) -> tuple[int, str]:
            is_array = kind_of(name) == "array"
            return places.get(os.path.splitext(name)[0] if is_array else name, len(order)), name

        found = sorted({*self._children.get(directory, ()), *more}, key=place)
        return [f"{directory}/{name}" if directory else name for name in found]

    def has(self, path: str) -> bool:
        """Return whether there is an array or directory of a path."""
        directory, _, name = path.rpartition("/")
        return name in self._children.get(directory, ())

    def noted(self, directory: str, report: Report) -> Group:
        """Return the attributes and notes of a directory; report those that can't be read."""
        try:
            return notes.read_group(self._source / directory)
        except SourceCorrupt as error:
            report.skip(directory or "/", f"has attributes that can't be read: {error.detail}")
            return Group()

    def identity(self, path: str) -> tuple[int, int] | None:
        """Return what the names of one file have in common, None for a file with one name."""
        status = (self._source / path).stat()
        return (status.st_dev, status.st_ino) if status.st_nlink > 1 else None
