"""Commands of the catalogue and the special roots; none loads numpy or Blosc2 by itself."""

from __future__ import annotations

import math
import sys
import time
from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from caterva2.cli.terminal import output
from caterva2.cli.terminal.output import Output
from caterva2.client.client import Client
from caterva2.errors import ConfigError
from caterva2.runtime.printable import printable

if TYPE_CHECKING:
    from rich.tree import Tree

    from caterva2.cli.terminal.tables import Nested

_SEARCH = 60.0
"""Seconds for which a search is repeated while descriptions are being fetched."""
_PAUSE = 1.0
"""Seconds before that where an answer brought none, as of a publisher that is away."""


def roots(client: Client, _: Namespace) -> Output:
    """List the roots."""
    found = client.get_roots()
    described = (
        name + (" *" if root["subscribed"] else "") + (" (offline)" if root.get("offline") else "")
        for name, root in sorted(found.items())
    )
    return Output(found, lambda: output.lines(described))


def subscribe(client: Client, options: Namespace) -> Output:
    """Subscribe to a root."""
    answer = client.subscribe(options.root)
    return Output(answer, lambda: printable(answer))


def unsubscribe(client: Client, options: Namespace) -> Output:
    """Unsubscribe from a root."""
    answer = client.unsubscribe(options.root)
    return Output(answer, lambda: printable(answer))


def listing(client: Client, options: Namespace) -> Output:
    """List the files of a root or directory, or with ``--long`` describe them."""
    names = client.get_list(options.path)
    base = options.path.rstrip("/")
    if names == [base.rpartition("/")[2]] and "/" in base:
        base = base.rpartition("/")[0]  # the list of a file has its base name only
    paths = [f"{base}/{name}" for name in names]
    if not options.long:
        return Output(paths, lambda: output.lines(paths))
    from caterva2.cli.commands import values

    return values.table(client, paths)


def tree(client: Client, options: Namespace) -> Output:
    """Show the files of a root or directory as a tree."""
    nested: Nested = {}
    for name in client.get_list(options.path):
        place = nested
        *directories, base = name.split("/")
        for part in directories:
            inside = place.get(part)
            if inside is None:  # also where a file is a container
                inside = place[part] = {}
            place = inside
        place.setdefault(base, None)
    top = options.path.rstrip("/")
    return Output({top: nested}, lambda: _branches(top, nested))


def _branches(top: str, nested: Nested) -> Tree:
    from caterva2.cli.terminal import tables

    return tables.branches(top, nested)


def url(client: Client, options: Namespace) -> Output:
    """Print the URL of a file."""
    found = client.get_download_url(options.path)
    return Output(found, lambda: printable(found))


def move(client: Client, options: Namespace) -> Output:
    """Move a file or directory."""
    moved = client.move(options.src, options.dst)
    return Output(str(moved), lambda: printable(f"{options.src} moved to {moved}"))


def copy(client: Client, options: Namespace) -> Output:
    """Copy a file, a directory or a root."""
    copied = client.copy(options.src, options.dst)
    return Output(str(copied), lambda: printable(f"{options.src} copied to {copied}"))


def search(client: Client, options: Namespace) -> Output:
    """Search for datasets; again while the descriptions of some are being fetched."""
    criteria = {name: getattr(options, name) for name in ("dtype", "ndim", "shape", "attr")}
    given = {name: value for name, value in criteria.items() if value is not None}
    words, until, before = " ".join(options.words), time.monotonic() + _SEARCH, math.inf
    while True:
        answer = client.search(words, options.path, limit=options.limit, **given)
        left = answer["unknown"]
        if not left or time.monotonic() > until:
            break
        if left >= before:
            time.sleep(_PAUSE)
        before = left
    if left:
        print(f"cat2cli: {left} datasets are not described yet", file=sys.stderr)
    if answer["more"]:
        print("cat2cli: there are more: see --limit", file=sys.stderr)
    return Output(answer, lambda: output.lines(map(_found, answer["found"].items())))


def _found(item: tuple[str, dict[str, Any]]) -> str:
    path, meta = item
    return f"{path}  {tuple(meta['shape'])} {meta['dtype']}" if "shape" in meta else path


def whoami(client: Client, _: Namespace) -> Output:
    """Show who asks, and what that user may do."""
    answer = client.me()
    return Output(answer, lambda: printable(answer["user"] or "no user is logged in"))


def remove(client: Client, options: Namespace) -> Output:
    """Remove a file or directory."""
    removed = client.remove(options.path)
    return Output(str(removed), lambda: printable(f"{removed} removed"))


def trash(client: Client, options: Namespace) -> Output:
    """List, restore or remove for good what was removed."""
    if options.action == "list":
        items = client.trash()
        return Output(items, lambda: output.lines(map(_removed, items)))
    if options.action == "empty":
        size = client.empty_trash(options.item)
        return Output(size, lambda: f"{size:,} bytes were removed for good")
    if options.item is None:
        raise ConfigError("cat2cli trash restore: the ID that list shows is needed")
    path = str(client.restore(options.item))
    return Output(path, lambda: printable(path))


def _removed(item: dict[str, Any]) -> str:
    times = f"removed {item['removed'][:16]}, until {item['expires'][:10]}"
    return f"{item['id']}  {item['path']}: {item['size']:,} bytes, {times}"


def lazyexpr(client: Client, options: Namespace) -> Output:
    """Store an expression."""
    operands = operands_of(options)
    made = client.lazyexpr(options.name, options.expression, operands, compute=options.compute)
    return Output(str(made), lambda: printable(f"Expression stored in {made}"))


def operands_of(options: Namespace) -> dict[str, str]:
    """Return the operands of an expression by their names."""
    operands = dict(options.operands)
    if len(operands) < len(options.operands):
        raise ConfigError("an operand is given twice")
    return operands


def operand(text: str) -> tuple[str, str]:
    """Parse an operand, ``NAME=PATH``."""
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, path
