"""Datasets that do not exist, and what their paths may stand for."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Mapping

from caterva2.errors import NotFound
from caterva2.names import DatasetPath

SUFFIXES = ".b2nd", ".b2frame", ".h5", ".nc", ".zarr"
"""Ends of names that people leave out."""
COMPARED, LONGEST = 200, 100
"""Paths that another one is compared with, of roots that have no more, and characters of it: an
answer about what is missing has to stay cheap."""
_ALIKE = 0.75
"""Share of the longer of two paths that their begins and ends have in common, where one may be
meant by the other."""


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
        known = list(itertools.islice(entries, COMPARED))
        likest = max(known, key=lambda one: _likeness(path, one), default="")
        if _likeness(path, likest) >= _ALIKE:
            yield likest


def _likeness(one: str, other: str) -> float:
    """Return the share of the longer of two paths that their begins and ends have in common.

    It takes as many steps as the shorter one has characters, whatever users name their files.
    """
    shorter, longer = sorted((len(one), len(other)))
    if shorter < _ALIKE * longer:
        return 0.0
    begin = _common(one, other)
    return (begin + _common(one[begin:][::-1], other[begin:][::-1])) / max(longer, 1)


def _common(one: str, other: str) -> int:
    """Return the number of characters with which two texts begin alike."""
    differing = (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def _with_another_end(path: str, entries: Container[str]) -> Iterator[str]:
    names = [path + suffix for suffix in SUFFIXES]
    names += [path.removesuffix(suffix) for suffix in SUFFIXES if path.endswith(suffix)]
    yield from (name for name in names if name in entries)
