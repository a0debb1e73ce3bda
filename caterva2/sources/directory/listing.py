"""Listing of a directory: the paths of its visible files, links within it followed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from caterva2.sources.base import ALL
from caterva2.sources.directory.links import TOP, Links, Opened, Resolved, enter, resolve
from caterva2.sources.kinds import is_hidden, kind_of

CONTIGUOUS = "save it as one file, with copy(contiguous=True, urlpath=...)"
NO_FRAME = "is a directory with the name of a frame, which is not served here: " + CONTIGUOUS
LOOP = "is left out: it is a link to a directory that holds it"


class Listing:
    """Lists the files below a directory.

    Parameters
    ----------
    root : str
        Absolute, without links.
    log : callable
        Gets a path that is left out, and the reason.
    max_linked : int
        Directories that are entered through links in one scan, so that links to links to links
        can't multiply what is listed without bound.
    enters : callable, optional
        Says of the path of a directory whether it is entered.
    """

    def __init__(
        self,
        root: str,
        log: Callable[[str, str], None],
        max_linked: int,
        enters: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.links = Links()
        self._root = root
        self._log = log
        self._max_linked = max_linked
        self._enters = enters

    def paths(self, scope: str = ALL) -> Iterator[str]:
        """Yield the paths that are a scope or below it; not all of them have to be files."""
        found: dict[str, Resolved] = {}
        if scope == ALL:
            yield from self._walk(TOP, found)
        else:
            parent, _, name = scope.rpartition("/")
            opened = enter(self._root, parent)
            if opened is not None and not is_hidden(scope) and not self._is_in_frame(scope):
                yield from self._child(opened, name, found)
        self.links.replace(scope, found)

    def _is_in_frame(self, scope: str) -> bool:
        parts = scope.split("/")
        return any(
            kind_of(part) != "file" and os.path.isdir("/".join((self._root, *parts[: n + 1])))
            for n, part in enumerate(parts)
        )

    def _child(self, opened: Opened, name: str, found: dict[str, Resolved]) -> Iterator[str]:
        path = opened.path_of(name)
        is_link = os.path.islink(f"{self._root}/{path}")
        inner = self._link(opened, name, found) if is_link else opened.below(name)
        if inner is not None and os.path.isdir(f"{self._root}/{path}"):
            if self._enters(path):
                yield from self._walk(inner, found)
        elif path in found or not is_link:
            yield path

    def _walk(self, start: Opened, found: dict[str, Resolved]) -> Iterator[str]:
        """Yield the paths of all visible files; not recursive, so depth costs no stack."""
        pending, linked = [start], 0
        while pending:
            opened = pending.pop()
            for child in self._children(opened, start):
                path, inner = opened.path_of(child.name), None
                if child.is_symlink():
                    inner = self._link(opened, child.name, found)
                    linked += inner is not None
                elif child.is_dir(follow_symlinks=False):
                    inner = opened.below(child.name)
                if inner is None:
                    if path in found or not child.is_symlink():
                        yield path
                elif linked > self._max_linked:
                    self._log(path, f"is left out: LINKED_DIRECTORIES is {self._max_linked}")
                elif self._enters(path):
                    if kind_of(child.name) == "file":
                        pending.append(inner)
                    else:
                        self._log(path, NO_FRAME)

    def _link(self, opened: Opened, name: str, found: dict[str, Resolved]) -> Opened | None:
        """Add a link to those found, but for a loop; return the directory that it leads to."""
        path = opened.path_of(name)
        resolved = resolve(self._root, path)
        inner: Opened | None = None
        if not resolved.problem and os.path.isdir(f"{self._root}/{resolved.real}"):
            inner = opened.through(name, resolved.real)
            if inner is None:
                self._log(path, LOOP)
                return None
        found[path] = replace(resolved, is_directory=inner is not None)
        return inner

    def _children(self, opened: Opened, start: Opened) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(f"{self._root}/{opened.path}") as found:
                visible = [child for child in found if not child.name.startswith(".")]
        except OSError as error:
            if opened is not start:
                self._log(opened.path, f"can't be listed: {error.strerror}")
            return []
        return sorted(visible, key=lambda child: child.name)
