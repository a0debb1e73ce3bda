"""Commands that show metadata and values."""

from __future__ import annotations

import sys
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from caterva2.cli.commands import brackets
from caterva2.cli.commands.catalogue import operands_of
from caterva2.cli.terminal import output, tables
from caterva2.cli.terminal.output import Output
from caterva2.client import Client, Dataset, File
from caterva2.client.attributes import Attributes
from caterva2.client.display import ArrayDescription, FileDescription, human
from caterva2.client.lazy import computing
from caterva2.client.objects import group
from caterva2.client.objects.root import open_file
from caterva2.client.read import keys
from caterva2.errors import CatervaError, TooLarge
from caterva2.runtime.printable import printable

_SHOWN = 256 * 2**20  # bytes of values
_REQUESTS = 8  # at once, for a long listing


def table(client: Client, paths: list[str]) -> Output:
    """Describe files by a line each."""
    with ThreadPoolExecutor(_REQUESTS) as pool:
        found = list(pool.map(lambda path: _summary(client, path), paths))
    header = ("kind", "shape", "dtype", "size", "path")
    shown = [
        entry | {"size": "" if entry["size"] is None else human(entry["size"])} for entry in found
    ]
    lines = [tuple(str(entry[name]) for name in header) for entry in shown]
    return Output(found, lambda: tables.rows(header, lines))


def _summary(client: Client, path: str) -> dict[str, Any]:
    """Describe a file, or say why its metadata can't be read."""
    entry: dict[str, Any] = {"kind": "?", "shape": "", "dtype": "", "size": None, "path": path}
    try:
        meta = client.get_info(path)
    except CatervaError as error:
        return entry | {"dtype": str(error)}
    if "shape" not in meta:
        known = FileDescription(path, meta)
        return entry | {"kind": known.kind, "size": known.nbytes}
    array = ArrayDescription(path, meta)
    geometry = {"shape": array.shape, "dtype": str(array.dtype), "size": array.nbytes}
    return entry | {"kind": array.kind} | geometry


def info(client: Client, options: Namespace) -> Output:
    """Show the metadata of a dataset, file or directory."""
    meta = client.get_info(options.path)
    if meta.get("kind") in group.KINDS:
        return Output(meta, lambda: tables.facts(_directory(meta)))
    path = options.path
    known = (ArrayDescription if "shape" in meta else FileDescription)(path, meta)
    return Output(meta, lambda: tables.facts(known.info))


def _directory(meta: dict[str, Any]) -> dict[str, object]:
    facts = {name: fact for name, fact in meta.items() if name != "attrs"}
    attrs = Attributes(meta.get("attrs") or {})
    return facts | {f"attrs.{name}": repr(value) for name, value in attrs.items()}


def stats(client: Client, options: Namespace) -> Output:
    """Show statistics of the values that a key selects, which the subscriber makes."""
    path, key = brackets.split(options.path)
    found = client.stats(path, key, exact=True if options.exact else None)
    shown = {name: value for name, value in found.items() if name != "histogram"}
    return Output(found, lambda: tables.facts(shown))


def show(client: Client, options: Namespace) -> Output:
    """Show the values that a key selects."""
    path, key = brackets.split(options.path)
    found = open_file(client, path)
    _check_size(found, key)
    values = found[key]
    return Output(values, lambda: text(values))


def _check_size(found: File | Dataset, key: Any) -> None:
    """Refuse to print more values than a terminal can show usefully."""
    shape: tuple[int, ...] = (found.nbytes,)
    itemsize = 1
    if isinstance(found, Dataset):
        shape, itemsize = found.shape, found.dtype.itemsize
    chosen = keys.layout(() if isinstance(key, str) else key, shape)
    nbytes = chosen.region.size * itemsize
    if nbytes > _SHOWN:
        raise TooLarge(
            f"{found.path}: {human(nbytes)} are too much to show, name a slice of at most "
            f"{human(_SHOWN)}"
        )


def rows(client: Client, options: Namespace) -> Output:
    """Show some rows of a table."""
    path, key = brackets.split(options.path)
    page = client.table(
        path, key, start=options.start, count=options.count, fields=options.fields,
        sort=options.sort, where=options.where,
    )  # fmt: skip
    if page["total"] is None:
        print("cat2cli: not all rows were looked at: try again", file=sys.stderr)
    lines = [tuple(str(item) for item in row) for row in page["rows"]]
    return Output(page, lambda: tables.rows(tuple(map(printable, page["fields"])), lines))


def compute(client: Client, options: Namespace) -> Output:
    """Show or save the values of an expression, or say what computing it takes."""
    operands = operands_of(options)
    plan = computing.plan(client.transport, options.expression, operands)
    if options.dry:
        return Output(plan, lambda: tables.facts(_flat(plan)))
    if options.output is None and plan["nbytes"] > _SHOWN:
        raise TooLarge(
            f"{human(plan['nbytes'])} are too much to show: slice the expression, or name --output"
        )
    values = client.compute(options.expression, operands)
    target = options.output
    if target is None:
        return Output(values, lambda: text(values))
    _save(values, target)
    return Output(str(target), lambda: printable(f"Values saved to {target}"))


def _save(values: Any, target: Path) -> None:
    """Write a ``.npy`` file, which appears when it is complete."""
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            np.save(file, values, allow_pickle=False)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _flat(plan: dict[str, Any]) -> dict[str, object]:
    facts: dict[str, object] = {name: plan[name] for name in ("shape", "dtype", "nbytes", "etag")}
    facts |= {f"cost.{name}": human(size) for name, size in plan["cost"].items()}
    return facts | {
        f"operands.{name}": f"{one['path']} {tuple(one['shape'])} {one['dtype']}, {one['etag']}"
        for name, one in plan["operands"].items()
    }


def text(found: Any) -> str:
    """Format values as numpy does, and the bytes of a text file as text."""
    if isinstance(found, bytes):
        return output.text_of(found)
    # numpy escapes text within arrays, but not a single one.
    return printable(str(found), keep="\n" if isinstance(found, np.ndarray) else "")
