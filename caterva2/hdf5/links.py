"""A walk through an HDF5 file that never leaves it.

Links are looked at before they are followed, one component at a time: hard links are, soft ones
are resolved by the same rule, external and user-defined ones never.

It is done in HDF5's own terms, identifiers instead of h5py's objects, which take three times as
long to make: a file may hold 100,000 datasets. For these, each call of h5py counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import h5py
from h5py import h5d, h5g, h5l, h5o

from caterva2.errors import CatervaError
from caterva2.hdf5.headers import Header, Headers
from caterva2.limits import constants
from caterva2.sources.layout import Refused

LINK_STEPS = 256
"""Components that the resolution of one soft link may take, those of links on its way counted."""
SUFFIX = ".b2nd"
KNOWN_LINKS = 100_000
"""Paths through soft links that are remembered during a walk."""
Links = dict[bytes, tuple[str, int, int]]
"""Text, type and address of links by their names."""
SoftLinks = dict[bytes, bytes | str]
"""Paths through soft links, and the ways without these that they stand for, or the reasons why they
are not followed."""
SECOND_NAMES = 100_000
"""Links of groups that are walked again under further names, these groups themselves counted."""
Identity = tuple[int, int]
ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
"""What h5py raises for a damaged file."""


class Item(NamedTuple):
    """The target of a link: a group, a dataset, or nothing that is served.

    ``name`` is the path in the file without the leading slash, ``found`` HDF5's identifier.
    A dataset of a known kind is not opened, it has only its ``header``.
    """

    name: str
    found: Any
    reason: str = ""
    header: Header | None = None

    @property
    def is_group(self) -> bool:
        return isinstance(self.found, h5g.GroupID)


class _Pending(NamedTuple):
    """A group to be walked, named from the one that holds it, so that few are open at once.

    ``line`` has the identities of the groups from the root to it.
    """

    name: str
    parent: Any
    child: bytes
    line: tuple[Identity, ...]


def walk(
    file: h5py.File, headers: Headers, visit: Callable[[str], None] = lambda _: None
) -> Iterator[Item]:
    """Yield everything in a file: each group and each dataset under all of its names.

    A group that lies above itself is left out, so a circle ends. So is a group that was met
    before, once `SECOND_NAMES` are used up: a tower of double links does not make the walk long.

    Parameters
    ----------
    file : h5py.File
    headers : Headers
        Of the file, with the kinds of datasets that need not be opened.
    visit : callable, optional
        Called with what is opened next: a link's name with `SUFFIX`, since it may lead to a
        dataset, or the name of a group whose links are listed. What it raises is the reason why
        that is left out.
    """
    root = root_of(file)
    again = _Again()
    yield Item("", root)
    pending, soft = [_Pending("", root, b"", (_identity(root),))], SoftLinks()
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
        for item, child in _children(root, here.name, group, children, visit, soft, headers):
            if not item.is_group:
                yield item
                continue
            own = _identity(item.found)
            reason = _unserved(item, own, here.line, children) or again.refusal(item.found, own)
            if reason:
                yield Item(item.name, None, reason)
            else:
                yield item
                below.append(_Pending(item.name, group, child, (*here.line, own)))
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


def resolve(
    root: Any, start: Any, target: bytes, base: bytes = b"", soft: SoftLinks | None = None
) -> Any:
    """Return what a path within the file leads to; every component is checked as `step` does.

    Parameters
    ----------
    root : GroupID
    start : GroupID
        Where the path begins, unless it begins with a slash.
    target : bytes
    base : bytes, optional
        The path of ``start``, if ``soft`` is given.
    soft : SoftLinks, optional
        What is known of paths through soft links, and is added to.

    Raises
    ------
    Refused
        As `step` does.
    """
    way, passed = _Way(root, start, _parts(base), []), list[bytes]()
    way.follow(target)
    known: SoftLinks = {} if soft is None else soft
    try:
        _go_all(way, known, passed)
    except Refused as refused:
        _remember(known, passed, refused.detail)
        raise
    _remember(known, passed, way.path)
    return way.here


def _go_all(way: _Way, known: SoftLinks, passed: list[bytes]) -> None:
    """Go all the way, and note what it leads through: its beginning, and where links lead to."""
    is_new = True
    for _ in range(LINK_STEPS):
        if is_new:
            passed.append(way.path)
            way.shorten(known)
        if not way.todo:
            return
        is_new = way.go()
    raise Refused("is a link that leads in a circle, or through too many others")


@dataclass(slots=True)
class _Way:
    """A path that is followed from group to group.

    ``where`` are the names from the root group to ``here``, without soft links, ``todo`` those
    that are to be followed from there, the last one first.
    """

    root: Any
    here: Any
    where: list[bytes]
    todo: list[bytes]

    @property
    def path(self) -> bytes:
        return b"/".join([*self.where, *self.todo[::-1]])

    def follow(self, target: bytes) -> None:
        """Follow a path before what is to be followed already."""
        if target.startswith(b"/"):
            self.here, self.where = self.root, []
        self.todo += _parts(target)[::-1]

    def shorten(self, soft: SoftLinks) -> None:
        """Take the known way without soft links instead, if there is one."""
        known = soft.get(self.path, self.path)
        if isinstance(known, str):
            raise Refused(known)
        if known != self.path:
            self.here, self.where, self.todo = self.root, [], _parts(known)[::-1]

    def go(self) -> bool:
        """Go one step; return whether that was a soft link."""
        name = self.todo.pop()
        if not isinstance(self.here, h5g.GroupID) or not self.here.links.exists(name):
            raise Refused("is a link that leads nowhere")
        if self.here.links.get_info(name).type == h5l.TYPE_SOFT:
            self.follow(self.here.links.get_val(name))
            return True
        self.here = step(self.root, self.here, name)
        self.where.append(name)
        return False


def _remember(soft: SoftLinks, passed: list[bytes], found: bytes | str) -> None:
    if len(soft) > KNOWN_LINKS:
        soft.clear()
    soft.update(dict.fromkeys(passed, found))


class _Again:
    """Counts what is walked again, since a group has several names."""

    def __init__(self) -> None:
        self._met: set[Identity] = set()
        self._left = SECOND_NAMES

    def refusal(self, group: Any, identity: Identity) -> str:
        """Return the reason why a group is not walked again, or an empty text."""
        if identity not in self._met:
            self._met.add(identity)
            return ""
        self._left -= 1 + int(group.get_num_objs())
        if self._left >= 0:
            return ""
        return f"is another name of a group, below which are more than {SECOND_NAMES} links"


def _unserved(item: Item, own: Identity, line: tuple[Identity, ...], beside: Links) -> str:
    """Return the reason why a group is not walked, or an empty text."""
    if own in line:
        former = "/".join(item.name.split("/")[: line.index(own)])
        return f"is another name of the group /{former} above it"
    if item.name.count("/") >= constants.PATH_DEPTH:
        return "lies too deep"
    name = item.name.rpartition("/")[2]
    if name.endswith(SUFFIX) and name[: -len(SUFFIX)].encode("utf-8", "surrogateescape") in beside:
        return "has the name of the dataset beside it"
    return ""


def _links(group: Any) -> Links:
    """Return a group's links in the order of their texts."""
    found: list[tuple[str, bytes, int, int]] = []

    def note(name: bytes, link: Any) -> None:
        found.append((name.decode("utf-8", "surrogateescape"), name, link.type, link.u))

    group.links.iterate(note, info=True)
    return {name: (text, kind, address) for text, name, kind, address in sorted(found)}


def _children(
    root: Any,
    prefix: str,
    group: Any,
    links: Links,
    visit: Callable[[str], None],
    soft: SoftLinks,
    headers: Headers,
) -> Iterator[tuple[Item, bytes]]:
    base, is_dataset = prefix.encode("utf-8", "surrogateescape"), True
    prefix = f"{prefix}/" if prefix else ""
    for child, (text, kind, address) in links.items():
        name, header = prefix + text, None
        try:
            visit(name + SUFFIX)
            if kind == h5l.TYPE_HARD:
                header = headers.read(address)
            if header is not None and headers.dtype(header) is not None:
                found = None
            elif is_dataset and kind == h5l.TYPE_HARD:
                found = _dataset(group, child)
            elif kind == h5l.TYPE_SOFT:
                found = resolve(root, group, group.links.get_val(child), base, soft)
            else:
                found = step(root, group, child, kind)
            is_dataset = found is None or isinstance(found, h5d.DatasetID)
            item = Item(name, found, "", header)
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


def _identity(group: Any) -> Identity:
    info = h5o.get_info(group)
    return info.fileno, info.addr
