"""One level of a root: the directories and datasets in a directory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from caterva2.errors import NotFound
from caterva2.model import Entry
from caterva2.names import DatasetPath, outermost


@dataclass(slots=True)
class Row:
    """A directory, a dataset, or both: a file that holds datasets.

    ``datasets`` counts those below it; ``entry`` is None of a plain directory.
    """

    name: str
    path: str
    entry: Entry | None = None
    datasets: int = 0
    size: int = 0
    mtime: float = 0.0

    @property
    def kind(self) -> str:
        """``group``, or the kind of the dataset."""
        return self.entry.kind if self.entry and not self.datasets else "group"

    def add(self, entry: Entry, *, inside: bool) -> None:
        """Count a dataset that lies below, ``inside`` a file that is counted already or not."""
        self.datasets += 1
        self.size += 0 if inside else entry.size
        self.mtime = max(self.mtime, entry.mtime)


@dataclass(frozen=True, slots=True)
class Level:
    """A directory: its rows, directories first, each sorted by name."""

    rows: list[Row]
    datasets: int
    """All below it."""
    size: int

    @property
    def groups(self) -> int:
        """Number of rows that have others below them."""
        return sum(row.kind == "group" for row in self.rows)


def level(name: str, directory: str, entries: Collection[Entry]) -> Level:
    """Collect what is in a directory of a root, or in the root. Call this in a thread.

    Raises
    ------
    NotFound
        If nothing lies in the directory.
    """
    prefix = f"{directory}/" if directory else ""
    inside = {entry.path: entry for entry in entries if entry.path.startswith(prefix)}
    if directory and not inside:
        raise NotFound(f"{name} does not exist")
    rows = dict[str, Row]()
    outer: set[DatasetPath] = set(outermost(inside))
    start = len(prefix)
    for path, entry in inside.items():
        top, _, rest = path[start:].partition("/")
        row = rows.get(top)
        if row is None:
            row = rows[top] = Row(top, prefix + top)
        if rest:
            row.add(entry, inside=path not in outer)
        else:
            row.entry, row.size = entry, row.size + entry.size
            row.mtime = max(row.mtime, entry.mtime)
    ordered = sorted(rows.values(), key=lambda row: (row.kind != "group", row.name))
    return Level(ordered, len(inside), sum(inside[path].size for path in outer))
