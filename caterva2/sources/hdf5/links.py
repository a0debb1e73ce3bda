"""A walk through an HDF5 file that never leaves it.

Links are looked at before they are followed, one component at a time: hard links are, soft ones
are resolved by the same rule, external and user-defined ones never.

It is done in HDF5's own terms, identifiers instead of h5py's objects, which take three times as
long to make: a file may hold 100,000 datasets. For these, each call of h5py counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import h5py
from h5py import h5d, h5g, h5l, h5o

from caterva2.errors import CatervaError
from caterva2.limits import constants
from caterva2.sources.layout import Refused

LINK_STEPS = 256
"""Components that the resolution of one soft link may take, those of links on its way counted."""
SUFFIX = ".b2nd"
Links = dict[bytes, tuple[str, int]]
ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
"""What h5py raises for a damaged file."""


class Item(NamedTuple):
    """The target of a link: a group, a dataset, or nothing that is served.

    ``name`` is the path in the file without the leading slash, ``found`` HDF5's identifier.
    """

    name: str
    found: Any
    reason: str = ""

    @property
    def is_group(self) -> bool:
        return isinstance(self.found, h5g.GroupID)


class _Pending(NamedTuple):
    """A group to be walked, named from the one that holds it, so that few are open at once."""

    name: str
    parent: Any
    child: bytes


def walk(file: h5py.File, visit: Callable[[str], None] = lambda _: None) -> Iterator[Item]:
    """Yield everything in a file: each group once, each dataset under all of its names.

    A group that is met again is left out, so neither a circle nor a tower of double links
    makes the walk long.

    Parameters
    ----------
    file : h5py.File
    visit : callable, optional
        Called with what is opened next: a link's name with `SUFFIX`, since it may lead to a
        dataset, or the name of a group whose links are listed. What it raises is the reason why
        that is left out.
    """
    root = root_of(file)
    seen = {_identity(root): ""}
    yield Item("", root)
    pending = [_Pending("", root, b"")]
    while pending:
        here = pending.pop()
        try:
            visit(here.name)
            group = step(root, here.parent, here.child) if here.child else root
            children = _links(group)
        except (*ERRORS, CatervaError) as error:
            yield Item(here.name, None, f"can't be listed: {error}")
            continue
        below = []
        for item, child in _children(root, here.name, group, children, visit):
            if not item.is_group:
                yield item
            elif reason := _unserved(item, seen, children):
                yield Item(item.name, None, reason)
            else:
                yield item
                below.append(_Pending(item.name, group, child))
        pending += reversed(below)


def root_of(file: h5py.File) -> Any:
    """Return the identifier of a file's root group."""
    return h5g.open(file.id, b"/")


def step(root: Any, group: Any, name: bytes, kind: int | None = None) -> Any:
    """Return what a link of a group leads to within the file.

    Parameters
    ----------
    root, group : GroupID
    name : bytes
    kind : int, optional
        The link's type, if it is known.

    Raises
    ------
    Refused
        If it leads out of the file, in a circle, or to nothing that is served.
    """
    if kind is None:
        kind = group.links.get_info(name).type
    if kind == h5l.TYPE_SOFT:
        return resolve(root, group, group.links.get_val(name))
    if kind != h5l.TYPE_HARD:
        raise Refused("is a link out of the file")
    found = h5o.open(group, name)
    if not isinstance(found, h5g.GroupID | h5d.DatasetID):
        raise Refused("is a named type, which has no data")
    return found


def resolve(root: Any, start: Any, target: bytes) -> Any:
    """Return what a path within the file leads to; every component is checked as `step` does."""
    here = root if target.startswith(b"/") else start
    todo = _parts(target)[::-1]
    for _ in range(LINK_STEPS):
        if not todo:
            return here
        name = todo.pop()
        if not isinstance(here, h5g.GroupID) or not here.links.exists(name):
            raise Refused("is a link that leads nowhere")
        if here.links.get_info(name).type == h5l.TYPE_SOFT:
            path = here.links.get_val(name)
            if path.startswith(b"/"):
                here = root
            todo += _parts(path)[::-1]
        else:
            here = step(root, here, name)
    raise Refused("is a link that leads in a circle")


def _unserved(item: Item, seen: dict[tuple[int, int], str], beside: Links) -> str:
    """Return the reason why a group is not walked, or an empty text."""
    former = seen.setdefault(_identity(item.found), item.name)
    if former != item.name:
        return f"is another name of the group /{former}"
    if item.name.count("/") >= constants.PATH_DEPTH:
        return "lies too deep"
    own = item.name.rpartition("/")[2]
    if own.endswith(SUFFIX) and own[: -len(SUFFIX)].encode("utf-8", "surrogateescape") in beside:
        return "has the name of the dataset beside it"
    return ""


def _links(group: Any) -> Links:
    """Return texts and types of a group's links by their names, in the order of the texts."""
    found: list[tuple[str, bytes, int]] = []
    group.links.iterate(
        lambda name, link: found.append((name.decode("utf-8", "surrogateescape"), name, link.type)),
        info=True,
    )
    return {name: (text, kind) for text, name, kind in sorted(found)}


def _children(
    root: Any, prefix: str, group: Any, links: Links, visit: Callable[[str], None]
) -> Iterator[tuple[Item, bytes]]:
    prefix, is_dataset = f"{prefix}/" if prefix else "", True
    for child, (text, kind) in links.items():
        name = prefix + text
        try:
            visit(name + SUFFIX)
            if is_dataset and kind == h5l.TYPE_HARD:
                found = _dataset(group, child)
            else:
                found = step(root, group, child, kind)
            is_dataset = isinstance(found, h5d.DatasetID)
            item = Item(name, found)
        except CatervaError as refused:
            item = Item(name, None, refused.detail)
        except ERRORS as error:
            item = Item(name, None, f"can't be opened: {error}")
        yield item, child


def _dataset(group: Any, name: bytes) -> Any:
    """Open the target of a hard link, which is likely to be a dataset: that is quicker then."""
    try:
        return h5d.open(group, name)
    except KeyError:
        return step(group, group, name, h5l.TYPE_HARD)


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def _identity(group: Any) -> tuple[int, int]:
    info = h5o.get_info(group)
    return info.fileno, info.addr
