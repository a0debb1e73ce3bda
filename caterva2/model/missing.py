"""Datasets that do not exist, and what their paths may stand for."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Container, Iterator, Mapping

from caterva2.errors import NotFound
from caterva2.names import DatasetPath

SUFFIXES = ".b2nd", ".b2frame", ".h5", ".nc", ".zarr"
"""Ends of names that people leave out."""
COMPARED, LONGEST = 200, 100
"""Paths that another one is compared with, of roots that have no more, and characters of it: an
answer about what is missing has to stay cheap."""


def missing(root: str, path: str, entries: Mapping[DatasetPath, object]) -> NotFound:
    """Make the error of a path that is none of a root's; it names the one that may be meant.

    Parameters
    ----------
    root : str
    path : str
    entries : mapping
        Paths of the root, all of which the user may see.
    """
    found = next(_near(path, entries), "")
    hint = f"; did you mean {root}/{found}?" if found else ""
    return NotFound(f"{root}/{path} does not exist{hint}")


def _near(path: str, entries: Mapping[DatasetPath, object]) -> Iterator[str]:
    yield from _with_another_end(path, entries)
    if len(path) <= LONGEST and len(entries) <= COMPARED:
        known = [one for one in itertools.islice(entries, COMPARED) if len(one) <= 2 * LONGEST]
        yield from difflib.get_close_matches(path, known, n=1, cutoff=0.8)


def _with_another_end(path: str, entries: Container[str]) -> Iterator[str]:
    names = [path + suffix for suffix in SUFFIXES]
    names += [path.removesuffix(suffix) for suffix in SUFFIXES if path.endswith(suffix)]
    yield from (name for name in names if name in entries)
