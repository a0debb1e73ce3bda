"""What commands print: JSON, or text that is fit for a terminal."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console, RenderableType
from rich.table import Table
from rich.tree import Tree

from caterva2.frames.metadata import jsonable
from caterva2.printable import printable

Nested = dict[str, Any]
"""Directories by their names; None stands for a file."""
WIDE = 4096
"""Columns where no terminal limits them."""
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Output:
    """What a command has found.

    Parameters
    ----------
    data : object
        For programs, as JSON says it.
    shown : callable
        Makes what people see.
    """

    data: Any
    shown: Callable[[], RenderableType]

    def print(self, as_json: bool) -> None:
        """Print it to standard output."""
        if as_json:
            print(json.dumps(jsonable(_plain(self.data))), flush=True)
            return
        shown = self.shown()
        if isinstance(shown, str):
            print(shown, end="" if shown.endswith("\n") else "\n", flush=True)
        else:
            _print(shown)


def _plain(data: Any) -> Any:
    """What numpy makes of values, as Python's own, and bytes so that nothing is lost."""
    if isinstance(data, np.ndarray | np.generic):
        return _plain(data.tolist())
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    if isinstance(data, bytes) and not _is_text(data):
        return {"base64": base64.b64encode(data).decode()}
    return data


def _print(shown: RenderableType) -> None:
    """Print something that rich draws: as wide as it is where there is no terminal."""
    terminal = sys.stdout.isatty()
    # Names are from outside: nothing in them is an instruction to rich.
    console = Console(width=None if terminal else WIDE, markup=False, highlight=False, emoji=False)
    with console.capture() as drawn:
        console.print(shown)
    lines = (line.rstrip() for line in drawn.get().splitlines())
    print("\n".join(lines), flush=True)


def abandon() -> None:
    """Nobody reads standard output any more: what is left of it goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def lines(texts: Iterable[str]) -> str:
    """One text a line."""
    return "\n".join(map(printable, texts))


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


def values(found: Any) -> str:
    """Values as numpy writes them; text of a file as it is."""
    if isinstance(found, bytes):
        return _text(found)
    # Within arrays numpy escapes text itself, a single one it does not.
    return printable(str(found), keep="\n" if isinstance(found, np.ndarray) else "")


def _text(data: bytes) -> str:
    """The text of a file, unless it would do things to a terminal."""
    if not _is_text(data):
        return f"Binary data ({len(data)} bytes)"
    return printable(data.decode().replace("\r\n", "\n"), keep="\n\t\f")


def _is_text(data: bytes) -> bool:
    try:
        return not _NO_TEXT.search(data.decode())
    except UnicodeDecodeError:
        return False
