"""Levels of a hierarchy: the names right below a directory, and their descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from caterva2.client.errors import Unreachable
from caterva2.client.transport import Transport
from caterva2.client.types import RemotePath
from caterva2.rest import paths
from caterva2.rest.paths import relative

Meta = dict[str, Any]


def pages(transport: Transport, path: RemotePath, after: str = "") -> Iterator[dict[str, Meta]]:
    """Yield the descriptions of all files below a directory, page by page, in order.

    Parameters
    ----------
    transport : Transport
    path : str
    after : str
        The path, relative to the directory, behind which they begin.

    Raises
    ------
    Unreachable
        If the subscriber never comes to an end.
    """
    following: str | None = after
    while following is not None:
        query = {"after": following} if following else None
        page = transport.json(dict, "GET", relative(paths.MEMBERS, path), query)
        yield page["members"]
        before, following = following, page["after"]
        if following is not None and following <= before:
            raise Unreachable(f"the pages of {path} do not go on after {following[:80]!r}")


def names(listing: Sequence[str]) -> dict[str, int]:
    """Return the names right below a directory, with the number of files below each.

    Parameters
    ----------
    listing : sequence of str
        The paths of all files below it.
    """
    found: dict[str, int] = {}
    for path in listing:
        name, slash, _ = path.partition("/")
        found[name] = found.get(name, 0) + bool(slash)
    return found


def described(
    transport: Transport, path: RemotePath, listing: Sequence[str]
) -> Iterator[tuple[str, Meta | None]]:
    """Yield the names right below a directory with their descriptions; a directory has None.

    A request describes a page of files, and what lies deeper is skipped where that saves one.
    """
    known: dict[str, Meta] = {}
    seen = set[str]()
    before = ""
    for full in sorted(listing):
        name, slash, _ = full.partition("/")
        if name not in seen:
            if not slash and name not in known:
                known = next(pages(transport, path, before), {})
            if slash or name in known:  # else it was removed meanwhile
                seen.add(name)
                yield name, None if slash else known[name]
        before = full
