"""Names of roots and paths of datasets: the only conversion from untrusted strings."""

from __future__ import annotations

import functools
import heapq
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from caterva2.errors import BadName
from caterva2.limits import constants

P = TypeVar("P", bound=str)
GROUP = ".group"
"""Last component of the path of a directory's description; names of datasets have no such dot."""
SORTED_AT_ONCE = 20_000
"""Paths sorted in one step of `in_order`, which takes some milliseconds."""
_ROOT = re.compile(r"@?[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


class RootName(str):
    """The name of a root: letters, digits, ``_ . + -``; a leading ``@`` marks special roots.

    Raises
    ------
    BadName
        If the text is not such a name.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if isinstance(text, cls):
            return text
        if len(text) > constants.ROOT_NAME or not _ROOT.fullmatch(text) or ".." in text:
            raise BadName(f"{_shown(text)} is not a root name: use letters, digits and _ . + -")
        return super().__new__(cls, text)

    @property
    def is_special(self) -> bool:
        """Whether it is the name of a special root."""
        return self.startswith("@")


PUBLIC, SHARED, PERSONAL = RootName("@public"), RootName("@shared"), RootName("@personal")


class DatasetPath(str):
    """A dataset's path relative to its root, in POSIX form.

    It has no control character or backslash, no empty, ``.`` or ``..`` component, and no leading
    slash. It is a name only: `sources` and `special` check each component on disk before they
    open a file.

    Raises
    ------
    BadName
        If the text is not such a path.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if isinstance(text, cls):
            return text
        check_path(text)
        return super().__new__(cls, text)

    @property
    def parts(self) -> list[str]:
        return self.split("/")

    @property
    def basename(self) -> str:
        return self.rpartition("/")[2]


def check_path(text: str) -> None:
    """Raise `BadName` if a text is no `DatasetPath`."""
    if _FORBIDDEN.search(text):
        raise BadName(f"{_shown(text)} holds a control character or a backslash")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadName(f"{_shown(text)} is not valid Unicode") from None
    parts = text.split("/")
    if size > constants.PATH_LENGTH or len(parts) > constants.PATH_DEPTH:
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


@functools.lru_cache(maxsize=256)  # a few paths account for most requests
def parse_full(text: str) -> tuple[RootName, DatasetPath]:
    """Split ``ROOT/relative/path`` of a dataset into its parts.

    Raises
    ------
    BadName
        If either part is not a name, or the path is missing.
    """
    root, _, rest = text.partition("/")
    if not rest:
        raise BadName(f"{_shown(text)} names no dataset: write ROOT/PATH")
    return RootName(root), DatasetPath(rest)


def group_path(directory: str) -> DatasetPath:
    """Return the path under which a directory itself is described; that of the root for ``""``."""
    return DatasetPath(f"{directory}/{GROUP}" if directory else GROUP)


def is_group(path: str) -> bool:
    """Return whether a path is that of a directory's description."""
    return path == GROUP or path.endswith(f"/{GROUP}")


def full_name(root: RootName, below: str) -> str:
    """Join a root's name and a path in it; return the root's name for the empty path."""
    return f"{root}/{below}" if below else root


@dataclass(frozen=True, slots=True)
class Place:
    """A root, or a file or directory in it, as a user wrote it.

    Parameters
    ----------
    root : RootName
    below : str
        Path relative to the root; empty for the root itself.
    is_directory : bool
        Whether it was written with a trailing slash.
    """

    root: RootName
    below: str
    is_directory: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``ROOT/relative/path``; raise `BadName` if it is malformed."""
        root, below = split_full(text)
        if below:
            DatasetPath(below)
        return cls(root, below, text.endswith("/"))

    @property
    def path(self) -> DatasetPath:
        """Path of the file; raises `BadName` for the root itself."""
        if not self.below:
            raise BadName(f"{self.root} is a root: name a file in it")
        return DatasetPath(self.below)

    def __str__(self) -> str:
        return f"{self.root}/{self.below}" if self.below else self.root


def below(paths: Iterable[DatasetPath], directory: str) -> list[str]:
    """Return the paths under a directory, relative to it; all of them for the empty directory.

    A path that is the directory itself gives its base name, unless it holds others: a file may be
    a container of datasets.
    """
    if not directory:
        return list(paths)
    prefix, found, own = directory + "/", list[str](), list[str]()
    for path in paths:
        if path.startswith(prefix):
            found.append(path[len(prefix) :])
        elif path == directory:
            own.append(path.basename)
    return found or own


def page(
    paths: Collection[DatasetPath], directory: str, after: str, count: int
) -> list[DatasetPath]:
    """Return the next paths under a directory in sorted order.

    Parameters
    ----------
    paths : collection of DatasetPath
    directory : str
        Empty for all paths. A path equal to it counts as one under it if it holds no others.
    after : str
        Last path of the page before, or an empty string.
    count : int
        Size of a page.
    """
    prefix = f"{directory}/" if directory else ""
    inside = (path for path in paths if path.startswith(prefix) and path > after)
    found = heapq.nsmallest(count, inside)
    if found or not directory or after:
        return found
    return [path for path in paths if path == directory]


def containers(paths: Collection[str]) -> set[str]:
    """Return the paths below which others lie: files of which the datasets are served, too."""
    known, found, looked_at = set(paths), set[str](), set[str]()
    for path in known:
        at = path.rfind("/")
        while at > 0 and (above := path[:at]) not in looked_at:
            looked_at.add(above)
            if above in known:
                found.add(above)
            at = path.rfind("/", 0, at)
    return found


def outermost(paths: Collection[P]) -> list[P]:
    """Return the paths that lie below no other one: not what is in containers among them."""
    holding = containers(paths)
    if not holding:
        return list(paths)
    return [
        path
        for path in paths
        if not any(path[:at] in holding for at, letter in enumerate(path) if letter == "/")
    ]


def in_order(paths: Sequence[P]) -> list[P]:
    """Sort paths, possibly millions, in short steps.

    A single sort would hold the interpreter lock for its whole duration, in any thread.
    """
    steps = range(0, len(paths), SORTED_AT_ONCE)
    runs = [sorted(paths[start : start + SORTED_AT_ONCE]) for start in steps]
    return list(heapq.merge(*runs))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


_ETAG = re.compile(r"[!#-~]{1,64}")


def check_etag(value: object) -> str:
    """Return an etag; raise `ValueError` if it is none.

    It stands between quotes in an HTTP header, so it has no quotes and no blanks.
    """
    if not isinstance(value, str) or not _ETAG.fullmatch(value):
        raise ValueError("an etag has 1 to 64 visible ASCII characters, quotes excepted")
    return value


_RESERVED = re.compile(
    "b2|blosc2|caterva|ctable|proxy|remote|lazy|vlarray|batcharray|listarray", re.IGNORECASE
)


def is_reserved_metalayer(name: str) -> bool:
    """Return whether a metalayer of a frame may be one that Blosc2's own software acts on.

    On opening a frame python-blosc2 makes other objects of it because of such names, some of which
    read files or URLs, or compute.
    """
    return _RESERVED.match(name) is not None


def user_metalayers(layers: dict[str, bytes]) -> dict[str, bytes]:
    """Return metalayers without those whose names are reserved."""
    return {name: item for name, item in layers.items() if not is_reserved_metalayer(name)}
