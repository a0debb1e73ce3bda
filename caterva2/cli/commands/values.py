"""The commands that show what datasets are and hold."""

from __future__ import annotations

from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from caterva2 import limits
from caterva2.cli.commands import brackets
from caterva2.cli.terminal import printing, tables
from caterva2.cli.terminal.printing import Output
from caterva2.client import Client, Dataset, File, Root
from caterva2.client.catalogue import Catalogue
from caterva2.client.display import ArrayDescription, FileDescription, human
from caterva2.client.read import keys
from caterva2.errors import BadName, CatervaError, TooLarge
from caterva2.runtime.printable import printable

ASKED_AT_ONCE = 8
"""Requests at the same time for a long listing."""


def table(client: Catalogue, paths: list[str]) -> Output:
    """A long listing."""
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        found = list(pool.map(lambda path: _summary(client, path), paths))
    header = ("kind", "shape", "dtype", "size", "path")
    shown = [
        entry | {"size": "" if entry["size"] is None else human(entry["size"])} for entry in found
    ]
    lines = [tuple(str(entry[name]) for name in header) for entry in shown]
    return Output(found, lambda: tables.rows(header, lines))


def _summary(client: Catalogue, path: str) -> dict[str, Any]:
    """A line of a long listing; of a dataset that can't be served, why not."""
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
    meta = client.get_info(options.path)
    if meta.get("kind") == "group":
        return Output(meta, lambda: tables.facts(meta))
    path = options.path
    known = (ArrayDescription if "shape" in meta else FileDescription)(path, meta)
    return Output(meta, lambda: tables.facts(known.info))


def show(client: Client, options: Namespace) -> Output:
    path, key = brackets.split(options.path)
    found = client.get(path)
    if isinstance(found, Root):
        raise BadName(f"{path} is a root: name a file in it")
    _check_size(found, key)
    values = found[key]
    return Output(values, lambda: text(values))


def _check_size(found: File | Dataset, key: Any) -> None:
    """Nobody reads that much: it was not meant."""
    shape: tuple[int, ...] = (found.nbytes,)
    itemsize = 1
    if isinstance(found, Dataset):
        shape, itemsize = found.shape, found.dtype.itemsize
    chosen = keys.layout(() if isinstance(key, str) else key, shape)
    nbytes = chosen.pick.size * itemsize
    if nbytes > limits.OUTPUT_BYTES:
        most = human(limits.OUTPUT_BYTES)
        raise TooLarge(
            f"{found.path}: {human(nbytes)} are too much to show, name a slice of up to {most}"
        )


def text(found: Any) -> str:
    """Values as numpy writes them; text of a file as it is."""
    if isinstance(found, bytes):
        return printing.text_of(found)
    # Within arrays numpy escapes text itself, a single one it does not.
    return printable(str(found), keep="\n" if isinstance(found, np.ndarray) else "")
