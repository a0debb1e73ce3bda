"""A walk through an HDF5 file that never leaves it.

Links are looked at before they are followed, one component at a time: hard links are, soft ones
are resolved by the same rule, external and user-defined ones never.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py

from caterva2 import limits
from caterva2.errors import CatervaError

LINK_STEPS = 256
"""Components that the resolution of one soft link may take, those of links on its way counted."""
SUFFIX = ".b2nd"


class Refused(CatervaError):
    """A part of a file that can't be served; the detail is the reason."""


@dataclass(frozen=True, slots=True)
class Item:
    """The target of a link: a group, a dataset, or nothing that is served.

    ``name`` is the path in the file without the leading slash.
    """

    name: str
    found: Any
    reason: str = ""


def walk(file: h5py.File) -> Iterator[Item]:
    """Everything in a file: each group once, each dataset under all of its names.

    A group that is met again is left out, so neither a circle nor a tower of double links
    makes the walk long.
    """
    seen = {_identity(file): ""}
    pending: list[tuple[str, h5py.Group]] = [("", file["/"])]
    yield Item("", file["/"])
    while pending:
        prefix, group = pending.pop()
        below: list[tuple[str, h5py.Group]] = []
        for item in _children(file, prefix, group):
            if not isinstance(item.found, h5py.Group):
                yield item
                continue
            former = seen.setdefault(_identity(item.found), item.name)
            if former != item.name:
                yield Item(item.name, None, f"is another name of the group /{former}")
            elif item.name.count("/") >= limits.PATH_DEPTH:
                yield Item(item.name, None, "lies too deep")
            elif item.name.endswith(SUFFIX) and item.name[: -len(SUFFIX)] in group_names(group):
                yield Item(item.name, None, "has the name of the dataset beside it")
            else:
                yield item
                below.append((item.name, item.found))
        pending += reversed(below)


def group_names(group: h5py.Group) -> set[str]:
    """The full names of what lies in a group, without the leading slash."""
    prefix = group.name.strip("/")
    return {f"{prefix}/{name}" if prefix else name for name in group}


def _children(file: h5py.File, prefix: str, group: h5py.Group) -> Iterator[Item]:
    for child in sorted(group):
        name = f"{prefix}/{child}" if prefix else child
        try:
            yield Item(name, step(file, group, child))
        except Refused as refused:
            yield Item(name, None, refused.detail)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            yield Item(name, None, f"can't be opened: {error}")


def step(file: h5py.File, group: h5py.Group, name: str) -> Any:
    """What a link of a group leads to within the file.

    Raises
    ------
    Refused
        If it leads out of the file, in a circle, or to nothing that is served.
    """
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.SoftLink):
        return resolve(file, group, link.path)
    if not isinstance(link, h5py.HardLink):
        raise Refused("is a link out of the file")
    found = group[name]
    if not isinstance(found, h5py.Group | h5py.Dataset):
        raise Refused("is a named type, which has no data")
    return found


def resolve(file: h5py.File, start: h5py.Group, target: str) -> Any:
    """What a path within the file leads to; every component is checked as `step` does."""
    here: Any = file["/"] if target.startswith("/") else start
    todo = _parts(target)[::-1]
    for _ in range(LINK_STEPS):
        if not todo:
            return here
        name = todo.pop()
        link = here.get(name, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None:
            raise Refused("is a link that leads nowhere")
        if isinstance(link, h5py.SoftLink):
            if link.path.startswith("/"):
                here = file["/"]
            todo += _parts(link.path)[::-1]
        else:
            here = step(file, here, name)
    raise Refused("is a link that leads in a circle")


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _identity(group: h5py.Group) -> tuple[int, int]:
    info = h5py.h5o.get_info(group.id)
    return info.fileno, info.addr
