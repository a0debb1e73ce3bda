"""Tables and trees."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.tree import Tree

from caterva2.runtime.printable import printable

Nested = dict[str, Any]
"""Directories by their names; a file is None."""
_WIDTH = 4096  # columns of output that is not for a terminal


def show(shown: RenderableType) -> None:
    """Print what rich draws, in full width unless it is for a terminal."""
    terminal = sys.stdout.isatty()
    # Names come from outside, so rich must not interpret them.
    console = Console(
        width=None if terminal else _WIDTH, markup=False, highlight=False, emoji=False
    )
    with console.capture() as drawn:
        console.print(shown)
    lines = (line.rstrip() for line in drawn.get().splitlines())
    print("\n".join(lines), flush=True)


def facts(found: Mapping[str, object]) -> Table:
    """Make a table of names and values."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in found.items():
        table.add_row(printable(name), printable(str(fact)))
    return table


def rows(header: tuple[str, ...], content: Iterable[tuple[str, ...]]) -> Table:
    """Make a table with a header."""
    table = Table(*header, box=None, pad_edge=False, header_style="bold")
    for row in content:
        table.add_row(*map(printable, row))
    return table


def branches(name: str, nested: Nested) -> Tree:
    """Make a tree of nested names."""
    tree = Tree(printable(name))
    _grow(tree, nested)
    return tree


def _grow(tree: Tree, nested: Nested) -> None:
    for name, below in sorted(nested.items()):
        _grow(tree.add(printable(name)), below or {})
