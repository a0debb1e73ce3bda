"""Names below ``/zarr/`` and ``/zarr2/``: roots, versions, arrays and chunks."""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caterva2.errors import BadName, BadRequest
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath, RootName

SUFFIX = ".b2nd"
"""Left out of the names of arrays, unless there is a group of that name."""
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY3 = re.compile(r"(.+)/c((?:/[0-9]{1,19})*)", re.DOTALL)
_KEY2 = re.compile(r"(.+)/([0-9]{1,19}(?:\.[0-9]{1,19})*)", re.DOTALL)
Key = tuple[int, ...]
"""Position of a chunk in its array's grid."""


@dataclass(frozen=True, slots=True)
class Target:
    """A place in a root, or in one version of it.

    Parameters
    ----------
    root : RootName
    version : str
        An etag or a generation; empty for what is current.
    below : str
        Path relative to the root; empty for the root itself.
    """

    root: RootName
    version: str
    below: str

    def __str__(self) -> str:
        return f"{self.root}/{self.below}" if self.below else self.root

    @property
    def pinned(self) -> str:
        """The root as a path names it."""
        return pinned(self.root, self.version) if self.version else self.root


@functools.lru_cache(maxsize=256)  # a few paths account for most requests
def parse(text: str) -> Target:
    """Parse ``ROOT[@VERSION][/PATH]``.

    Raises
    ------
    BadName
        If a part is not a name.
    """
    head, _, below = text.partition("/")
    name, at, version = head[1:].partition("@")
    root = RootName(head[:1] + name)
    below = below.rstrip("/")
    return Target(root, _version(version) if at else "", DatasetPath(below) if below else "")


def _version(text: str) -> str:
    version = text
    if text.startswith("~"):
        try:
            version = base64.b64decode(text[1:], b"-_", validate=True).decode("ascii")
        except ValueError:
            version = ""
    if not version or _spelled(version) != text:  # a version has one spelling
        raise BadName(f"{text[:80]!r} names no version")
    return version


def _spelled(version: str) -> str:
    if _PLAIN.fullmatch(version):
        return version
    return "~" + base64.urlsafe_b64encode(version.encode()).decode()


def pinned(root: RootName, version: str, below: str = "") -> str:
    """Return the path, below ``/zarr/``, of a version of a root, or of a place in it."""
    name = f"{root}@{_spelled(version)}"
    return f"{name}/{below}" if below else name


def split_key3(text: str) -> tuple[str, Key] | None:
    """Split the path of a chunk of version 3 into that of its array and its place in the grid."""
    found = _KEY3.fullmatch(text)
    return (found[1], tuple(map(int, found[2].split("/")[1:]))) if found else None


def split_key2(text: str) -> tuple[str, Key] | None:
    """Split the path of a chunk of version 2; an array without axes has the chunk ``0``."""
    found = _KEY2.fullmatch(text)
    return (found[1], tuple(map(int, found[2].split(".")))) if found else None


def resolve(entries: Mapping[DatasetPath, Entry], name: str) -> DatasetPath | None:
    """Return the path of the array that a name stands for, with or without its suffix."""
    for path in (name + SUFFIX, name):  # as the names of a hierarchy are made
        entry = entries.get(path)  # type: ignore[call-overload]
        if entry is not None and entry.kind == "array":
            return DatasetPath(path)
    return None


def check_key(key: Key, shape: Sequence[int], chunks: Sequence[int]) -> None:
    """Refuse a chunk that the grid of an array does not have.

    Raises
    ------
    BadRequest
        It is not `NotFound`: a reader of Zarr would take that for a chunk of fill values, when it
        knows a former shape of the array.
    """
    grid = [-(-size // max(chunk, 1)) for size, chunk in zip(shape, chunks, strict=True)]
    if len(key) != len(grid) or any(n >= count for n, count in zip(key, grid, strict=True)):
        raise BadRequest(f"chunk {list(key)} lies outside of the grid {grid}: open the array anew")


def block_of(info: DatasetInfo, key: Key) -> tuple[Key, int]:
    """Return the chunk that has a block, by its place in the grid of all blocks, and its number."""
    per = [c // b for c, b in zip(info.chunks, info.blocks, strict=True)]
    block = 0
    for n, count in zip(key, per, strict=True):
        block = block * count + n % count
    return tuple(n // count for n, count in zip(key, per, strict=True)), block


def number(info: DatasetInfo, key: Key) -> int:
    """Return the number of a chunk by its place in the grid."""
    found = 0
    for n, size, chunk in zip(key, info.shape, info.chunks, strict=True):
        found = found * -(-size // chunk) + n
    return found


def values_bytes(info: DatasetInfo) -> int:
    """Return the bytes of a decoded chunk, without the padding to whole blocks."""
    return math.prod(max(n, 1) for n in info.chunks) * info.typesize
