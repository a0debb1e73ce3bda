"""The tree beside pages: the levels that lead to a path, and how much of them is shown"""

from __future__ import annotations

import pytest

from caterva2.browsing.index import Index
from caterva2.errors import NotFound
from caterva2.limits.constants import PATH_DEPTH
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.pages.levels.tree import MEMBERS, Branch, Tree, only_below


def tree_of(*paths: str) -> Tree:
    entries = {
        DatasetPath(path): Entry(DatasetPath(path), "array", "e", 1, 0.0) for path in sorted(paths)
    }
    return Tree(Index.of(list(entries.values())), entries)


def shown(level: Branch) -> list[object]:
    """Names of a level; an open directory is followed by its members."""
    found: list[object] = [] if level.first else ["..."]
    for node in level.nodes:
        found.append(node.name + "/" * (node.kind == "group"))
        if node.level:
            found.append(shown(node.level))
    return found if level.is_whole or not level.first else [*found, level.total]


def test_directories_are_open_along_the_path_alone() -> None:
    tree = tree_of("a/b/x", "a/b/y", "a/c/z", "d/e", "f")
    assert shown(tree.leading_to("")) == ["a/", "d/", "f"]
    assert shown(tree.leading_to("a/b/y")) == ["a/", ["b/", ["x", "y"], "c/"], "d/", "f"]
    assert shown(tree.leading_to("a/b")) == ["a/", ["b/", ["x", "y"], "c/"], "d/", "f"]
    assert shown(tree.leading_to("f")) == ["a/", "d/", "f"]
    assert shown(tree.level("a", 9)) == ["b/", "c/"]
    with pytest.raises(NotFound):
        tree.level("no", 9)


def test_what_is_alone_on_its_level_is_open() -> None:
    tree = tree_of("entry/data/x", "entry/data/y", "entry/data/z/u")
    unfolded = ["entry/", ["data/", ["z/", "x", "y"]]]
    assert shown(tree.leading_to("")) == shown(tree.leading_to("entry")) == unfolded
    index = Index.of(list(tree._entries.values()))
    assert only_below(index, "entry") == "entry/data"
    assert only_below(index, "entry/data/z") == "entry/data/z"


@pytest.mark.parametrize("path", ["d/f00777", "e00999/x"])
def test_of_a_large_level_a_part_with_what_is_shown_is_there(path: str) -> None:
    tree = tree_of(*(f"d/f{n:05}" for n in range(900)), *(f"e{n:05}/x" for n in range(1000)))
    above, _, name = path.partition("/")
    level = tree.leading_to(path)
    assert level.total == 1001
    assert len(level.nodes) <= MEMBERS
    (opened,) = [node for node in level.nodes if node.level]
    assert (opened.name, opened.kind) == (above, "group")
    assert opened.level is not None and len(opened.level.nodes) <= MEMBERS
    assert name in [node.name for node in opened.level.nodes]


def test_a_path_of_many_levels_has_a_bounded_tree() -> None:
    deep = "/".join(f"d{n:03}" for n in range(PATH_DEPTH - 1))
    many = (f"{deep[: 5 * n]}n{k}" for n in range(PATH_DEPTH - 1) for k in range(70))
    tree = tree_of(f"{deep}/x", *many)
    level: Branch | None = tree.leading_to(f"{deep}/x")
    nodes = levels = 0
    while level:
        levels, nodes = levels + 1, nodes + len(level.nodes)
        level = next((node.level for node in level.nodes if node.level), None)
    assert levels <= 13
    assert nodes <= 3 * MEMBERS + levels
