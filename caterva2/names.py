"""The only door from a string to a name of a root or the path of a dataset."""

from __future__ import annotations

import functools
import heapq
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Self, TypeVar

from caterva2 import limits
from caterva2.errors import BadName

P = TypeVar("P", bound=str)
SORTED_AT_ONCE = 20_000
"""Paths that one step of `in_order` sorts, which takes some milliseconds."""
_ROOT = re.compile(r"@?[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


class RootName(str):
    """The name of a root: letters, digits, ``_ . + -``; a leading ``@`` marks special roots.

    Raises
    ------
    BadName
        If the text is no such name.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if isinstance(text, cls):
            return text
        if len(text) > limits.ROOT_NAME or not _ROOT.fullmatch(text) or ".." in text:
            raise BadName(f"{_shown(text)} is not a root name: use letters, digits and _ . + -")
        return super().__new__(cls, text)

    @property
    def is_special(self) -> bool:
        return self.startswith("@")


PUBLIC, SHARED, PERSONAL = RootName("@public"), RootName("@shared"), RootName("@personal")
SPECIAL_ROOTS = (PUBLIC, SHARED, PERSONAL)


class DatasetPath(str):
    """A dataset's path relative to its root, in POSIX form and without tricks.

    No NUL, control character or backslash, no empty, ``.`` or ``..`` component, no leading
    slash. It is a name: it is never joined to a directory without `roots` checking each
    component on disk as well.

    Raises
    ------
    BadName
        If the text is no such path.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if isinstance(text, cls):
            return text
        _check_path(text)
        return super().__new__(cls, text)

    @property
    def parts(self) -> list[str]:
        return self.split("/")

    @property
    def basename(self) -> str:
        return self.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self).suffix


def _check_path(text: str) -> None:
    if _FORBIDDEN.search(text):
        raise BadName(f"{_shown(text)} holds a control character or a backslash")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadName(f"{_shown(text)} is not valid Unicode") from None
    parts = text.split("/")
    if size > limits.PATH_LENGTH or len(parts) > limits.PATH_DEPTH:
        raise BadName(f"{_shown(text)} is too long or too deep for a path")
    for part in parts:
        if part in ("", ".", ".."):
            raise BadName(f"{_shown(text)} is not a path: it has the component {part!r}")


def split_full(text: str) -> tuple[RootName, str]:
    """Split ``ROOT/relative/path`` into the root's name and the rest, unchecked and maybe empty.

    A trailing slash is allowed: a directory may be written with one.
    """
    root, _, rest = text.partition("/")
    return RootName(root), rest.rstrip("/")


@functools.lru_cache(maxsize=256)  # the same few are read again and again
def parse_full(text: str) -> tuple[RootName, DatasetPath]:
    """``ROOT/relative/path`` of a dataset.

    Raises
    ------
    BadName
        If either part is not a name, or the path is missing.
    """
    root, _, rest = text.partition("/")
    if not rest:
        raise BadName(f"{_shown(text)} names no dataset: write ROOT/PATH")
    return RootName(root), DatasetPath(rest)


def full_name(root: RootName, below: str) -> str:
    """Join a root's name and a path in it; the root's name alone for the empty path."""
    return f"{root}/{below}" if below else root


@dataclass(frozen=True, slots=True)
class Place:
    """A root, or a file or directory in it, as somebody wrote it.

    Parameters
    ----------
    root : RootName
    below : str
        The path relative to the root; empty for the root itself.
    is_directory : bool
        Whether it was written with a slash at its end.
    """

    root: RootName
    below: str
    is_directory: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the place that ``ROOT/relative/path`` means; `BadName` if it can't be one."""
        root, below = split_full(text)
        if below:
            DatasetPath(below)
        return cls(root, below, text.endswith("/"))

    @property
    def path(self) -> DatasetPath:
        """The path of a file; `BadName` for the root itself."""
        if not self.below:
            raise BadName(f"{self.root} is a root: name a file in it")
        return DatasetPath(self.below)

    def __str__(self) -> str:
        return f"{self.root}/{self.below}" if self.below else self.root


def below(paths: Iterable[DatasetPath], directory: str) -> list[str]:
    """Return the paths under a directory, relative to it; all of them for the empty directory.

    A path that is the directory itself gives its base name.
    """
    if not directory:
        return list(paths)
    prefix = directory + "/"
    return [
        path.basename if path == directory else path[len(prefix) :]
        for path in paths
        if path == directory or path.startswith(prefix)
    ]


def page(paths: Iterable[DatasetPath], directory: str, after: str, most: int) -> list[DatasetPath]:
    """Return the first of the paths under a directory that come after another one, in order.

    A path that is the directory itself is one of them.
    """
    prefix = f"{directory}/" if directory else ""
    inside = (path for path in paths if path.startswith(prefix) or path == directory)
    return heapq.nsmallest(most, (path for path in inside if path > after))


def in_order(paths: Sequence[P]) -> list[P]:
    """Sorted paths, of which there may be millions.

    One sort of them all would hold the interpreter, whatever thread it runs in; the steps of
    this one are short.
    """
    steps = range(0, len(paths), SORTED_AT_ONCE)
    runs = [sorted(paths[start : start + SORTED_AT_ONCE]) for start in steps]
    return list(heapq.merge(*runs))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
