"""What commands print as tables and trees."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.tree import Tree

from caterva2.runtime.printable import printable

Nested = dict[str, Any]
"""Directories by their names; None stands for a file."""
WIDE = 4096
"""Columns where no terminal limits them."""


def show(shown: RenderableType) -> None:
    """Print something that rich draws: as wide as it is where there is no terminal."""
    terminal = sys.stdout.isatty()
    # Names are from outside: nothing in them is an instruction to rich.
    console = Console(width=None if terminal else WIDE, markup=False, highlight=False, emoji=False)
    with console.capture() as drawn:
        console.print(shown)
    lines = (line.rstrip() for line in drawn.get().splitlines())
    print("\n".join(lines), flush=True)


def facts(found: Mapping[str, object]) -> Table:
    """A table of names and values."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in found.items():
        table.add_row(printable(name), printable(str(fact)))
    return table


def rows(header: tuple[str, ...], content: Iterable[tuple[str, ...]]) -> Table:
    """A table with a header."""
    table = Table(*header, box=None, pad_edge=False, header_style="bold")
    for row in content:
        table.add_row(*map(printable, row))
    return table


def branches(name: str, nested: Nested) -> Tree:
    """Names within names, as a tree."""
    tree = Tree(printable(name))
    _grow(tree, nested)
    return tree


def _grow(tree: Tree, nested: Nested) -> None:
    for name, below in sorted(nested.items()):
        _grow(tree.add(printable(name)), below or {})
