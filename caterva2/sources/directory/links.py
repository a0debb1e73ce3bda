"""Symbolic links of a directory: where they lead, and which paths show what changed elsewhere."""

from __future__ import annotations

import errno
import os
import stat
import threading
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

OUTSIDE = "a link that leads out of the root"
MAX_HOPS = 40
"""Links on the way of one path; as many as Linux follows."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a path leads.

    Attributes
    ----------
    real : str
        The path without links, relative to the root.
    hops : tuple of str
        The links on the way, each by its path without other links.
    problem : str
        The reason why it leads nowhere below the root; empty if it does.
    is_directory : bool
        Whether a directory that can be listed is there.
    """

    real: str
    hops: tuple[str, ...]
    problem: str = ""
    is_directory: bool = False


def resolve(root: str, path: str) -> Resolved:
    """Follow all links of a path below a root directory.

    Parameters
    ----------
    root : str
        Absolute, without links.
    path : str
        Relative to it.
    """
    pending, real, hops = path.split("/")[::-1], list[str](), list[str]()
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not real:
                return Resolved("", tuple(hops), OUTSIDE)
            real.pop()
            continue
        here = "/".join([*real, part])
        try:
            target = os.readlink(f"{root}/{here}")
        except OSError as error:
            if error.errno == errno.EINVAL:  # not a link
                real.append(part)
                continue
            return Resolved(here, tuple(hops), f"a link to nothing ({error.strerror})")
        hops.append(here)
        if len(hops) > MAX_HOPS:
            return Resolved("", tuple(hops), "a link of a loop of links")
        if target.startswith("/"):
            target = os.path.realpath(target)
            if target != root and not target.startswith(root.rstrip("/") + "/"):
                return Resolved("", tuple(hops), OUTSIDE)
            target, real = os.path.relpath(target, root), []
        pending += target.split("/")[::-1]
    return Resolved("/".join(real), tuple(hops))


def reason_left_out(root: str, path: str) -> str:
    """Say why a listed name is not a readable regular file; empty if it has gone meanwhile."""
    full = f"{root}/{path}"
    try:
        status = os.lstat(full)
        if stat.S_ISLNK(status.st_mode):
            resolved = resolve(root, path)
            if resolved.problem:
                return f"is left out: it is {resolved.problem}"
            full = f"{root}/{resolved.real}"
            status = os.lstat(full)
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return "" if gone else f"is left out: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "is left out: it is neither a regular file nor a directory"
    return "" if os.access(full, os.R_OK) else "is left out: it can't be read: Permission denied"


@dataclass(frozen=True, slots=True)
class Opened:
    """A directory that is listed, under the path that shows it.

    ``reals`` are the real paths of the directories from which links were followed, and its own.
    """

    path: str
    reals: tuple[str, ...]

    def path_of(self, name: str) -> str:
        """Return the path of something in it."""
        return f"{self.path}/{name}" if self.path else name

    def below(self, name: str) -> Opened:
        """Enter a directory in it that is not a link."""
        real = f"{self.reals[-1]}/{name}" if self.reals[-1] else name
        return Opened(self.path_of(name), (*self.reals[:-1], real))

    def through(self, name: str, real: str) -> Opened | None:
        """Enter a link to a directory; None if the directory holds one that was passed."""
        inside = f"{real}/" if real else ""
        if any(passed == real or passed.startswith(inside) for passed in self.reals):
            return None
        return Opened(self.path_of(name), (*self.reals, real))


TOP = Opened("", ("",))


def enter(root: str, path: str) -> Opened | None:
    """Enter a directory by its path; None where a listing would not have shown it."""
    opened: Opened | None = TOP
    for name in path.split("/") if path else ():
        if opened is None:
            return None
        child = opened.path_of(name)
        if os.path.islink(f"{root}/{child}"):
            resolved = resolve(root, child)
            opened = None if resolved.problem else opened.through(name, resolved.real)
        else:
            opened = opened.below(name)
    return opened


class Links:
    """The links that a listing shows, by what they depend on. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: dict[str, Resolved] = {}
        self._by_place: dict[str, set[str]] = {}
        self._places: list[str] = []

    def replace(self, scope: str, found: dict[str, Resolved]) -> None:
        """Take the links of a scan as those of its scope."""
        with self._lock:
            if not found and not self._links:
                return
            kept = {
                path: resolved
                for path, resolved in self._links.items()
                if scope and path != scope and not path.startswith(f"{scope}/")
            }
            self._links = kept | found
            self._by_place = {}
            for path, resolved in self._links.items():
                for place in filter(None, (*resolved.hops, resolved.real)):
                    self._by_place.setdefault(place, set()).add(path)
            self._places = sorted(self._by_place)

    def shown(self, path: str) -> set[str]:
        """Return the paths that show something else since there was a change at a path."""
        with self._lock:
            real = self._real(path)
            return {real, *(self._through(real) if self._links else ())}

    def _real(self, path: str) -> str:
        """Return a path without links to directories: a watch reports one of several."""
        parts = path.split("/")
        for n in range(len(parts) - 1, 0, -1):
            resolved = self._links.get("/".join(parts[:n]))
            if resolved is not None and not resolved.problem:
                return "/".join([resolved.real, *parts[n:]])
        return path

    def _through(self, real: str) -> Iterator[str]:
        parts = real.split("/")
        for n in range(1, len(parts) + 1):
            place = "/".join(parts[:n])
            for link in self._by_place.get(place, ()):
                below = parts[n:] if self._links[link].real == place else []
                yield "/".join([link, *below])
        inside = f"{real}/"
        for place in self._places[bisect_left(self._places, inside) :]:
            if not place.startswith(inside):
                return
            yield from self._by_place[place]
