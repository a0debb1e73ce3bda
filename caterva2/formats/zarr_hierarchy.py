"""Groups of Zarr: the arrays and directories below a directory, under their names in Zarr."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from caterva2.formats.zarr_names import SUFFIX
from caterva2.model import Entry
from caterva2.names import DatasetPath, in_order


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """What lies below a directory; names are relative to it.

    Parameters
    ----------
    arrays : dict
        Paths of the arrays by their names, in order.
    groups : list of str
        Directories between, in order.
    """

    arrays: dict[str, DatasetPath]
    groups: list[str]

    @classmethod
    def of(cls, entries: Iterable[Entry], directory: str) -> Hierarchy:
        """Return what lies below a directory. There may be millions: call this in a thread."""
        prefix = f"{directory}/" if directory else ""
        inside = [e for e in entries if e.path.startswith(prefix) and e.kind == "array"]
        paths = in_order([entry.path for entry in inside])
        groups: set[str] = set()
        for path in paths:
            above = path[len(prefix) :].rpartition("/")[0]
            while above and above not in groups:
                groups.add(above)
                above = above.rpartition("/")[0]
        taken = groups | {path[len(prefix) :] for path in paths}
        arrays = {_shortened(path[len(prefix) :], taken): path for path in paths}
        return cls(arrays, sorted(groups))


def _shortened(name: str, taken: set[str]) -> str:
    short = name.removesuffix(SUFFIX)
    return name if short in taken or not short.rpartition("/")[2] else short
