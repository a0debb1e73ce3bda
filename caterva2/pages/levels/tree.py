"""The tree beside a page: the levels that lead to what it shows. Others are opened on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from caterva2.browsing.index import Index
from caterva2.errors import NotFound
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName, full_name
from caterva2.pages import rendering
from caterva2.web.contracts.browsing import Browser
from caterva2.web.state import reader_of

MEMBERS = 60
"""Nodes of the innermost level; the levels above it have twice as many together."""
_DEPTH = 12
"""Levels that are shown above the innermost one."""


@dataclass(frozen=True, slots=True)
class Node:
    """A directory or dataset; a directory has its members if it is open."""

    name: str
    path: str
    kind: str
    level: Branch | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Some members of a directory, and how many it has; ``first`` is whether the first is shown."""

    path: str
    nodes: list[Node]
    total: int
    first: bool

    @property
    def is_whole(self) -> bool:
        """Whether all members are shown."""
        return len(self.nodes) == self.total


class Tree:
    """The tree of a root.

    Parameters
    ----------
    index : Index
    entries : mapping of DatasetPath to Entry
    """

    def __init__(self, index: Index, entries: Mapping[DatasetPath, Entry]) -> None:
        self._index = index
        self._entries = entries

    def leading_to(self, path: str) -> Branch:
        """Return the levels that lead to a dataset or directory, open along its path."""
        parts = path.split("/") if path else []
        above = ["/".join(parts[:n]) for n in range(len(parts) + 1)]
        shown = [one for one in above if one == "" or self._index.count(one)][-_DEPTH - 1 :]
        most = max(1, 2 * MEMBERS // len(shown))
        found = self.level(shown[-1], MEMBERS, path.removeprefix(shown[-1]).strip("/"))
        if found.path == path:
            found = self._unfolded(found, _DEPTH)
        for directory in reversed(shown[:-1]):
            name = found.path.removeprefix(directory).strip("/")
            outer = self.level(directory, most, name)
            nodes = [_opened(node, found) for node in outer.nodes]
            found = Branch(directory, nodes, outer.total, outer.first)
        return found

    def _unfolded(self, level: Branch, depth: int) -> Branch:
        """Open what is the only member, and so on."""
        if level.total != 1 or not depth or level.nodes[0].kind != "group":
            return level
        inner = self._unfolded(self.level(level.nodes[0].path, MEMBERS), depth - 1)
        return replace(level, nodes=[_opened(level.nodes[0], inner)])

    def level(self, directory: str, most: int, name: str = "") -> Branch:
        """Return the first members of a directory, or those from one of a name onwards."""
        nodes, total = self._members(directory, "", most)
        if not name or any(node.name == name for node in nodes):
            return Branch(directory, nodes, total, True)
        path = f"{directory}/{name}" if directory else name
        is_group = path not in self._entries or self._index.count(path) > 0
        behind, _ = self._members(directory, f"{name}/" if is_group else name, most)
        one = Node(name, path, "group" if is_group else self._entries[DatasetPath(path)].kind)
        return Branch(directory, [one, *behind][:most], total, False)

    def _members(self, directory: str, after: str, most: int) -> tuple[list[Node], int]:
        page = self._index.level(directory, after, most)
        if page is None:
            raise NotFound("it does not exist")
        inside = f"{directory}/" if directory else ""
        nodes = [Node(one.name, inside + one.name, "group") for one in page.branches]
        plain = [one for one in page.paths if not self._index.count(one)]
        nodes += [Node(one[len(inside) :], one, self._kind(one)) for one in plain]
        return nodes, page.branch_count + page.dataset_count - len(page.paths) + len(plain)

    def _kind(self, path: DatasetPath) -> str:
        entry = self._entries.get(path)
        return entry.kind if entry else "file"


def _opened(node: Node, level: Branch) -> Node:
    return Node(node.name, node.path, node.kind, level) if node.path == level.path else node


def holder(entries: Container[str], path: str) -> str:
    """Return the file that a path is or leads into, such as one of HDF5; empty if there is none."""
    parts = path.split("/")
    above = ("/".join(parts[:n]) for n in range(1, len(parts) + 1))
    return next((one for one in above if one in entries), "")


def only_below(index: Index, directory: str) -> str:
    """Return the directory that is reached by way of the only members; itself if it has several."""
    for _ in range(_DEPTH):
        level = index.level(directory, "", 2)
        if level is None or level.branch_count != 1 or level.dataset_count:
            break
        directory = f"{directory}/{level.branches[0].name}"
    return directory


async def beside(request: Request, root: RootName, path: str, browser: Browser) -> Branch:
    """Return the tree beside a page."""
    made = Tree(await browser.index(), await reader_of(request).entries(root))
    return await asyncio.to_thread(made.leading_to, path)


async def part(request: Request, root: RootName, directory: str, browser: Browser) -> Response:
    """Answer with a level alone, for a tree in which it is opened."""
    made = Tree(await browser.index(), await reader_of(request).entries(root))
    try:
        level = await asyncio.to_thread(made.level, directory, MEMBERS)
    except NotFound:
        raise NotFound(f"{full_name(root, directory)} does not exist") from None
    depth = directory.count("/") + bool(directory) + 1
    return await rendering.page(
        request, "parts/level.html", root=root, tree=level, here="", depth=depth
    )
