"""The commands that look: each asks a client and returns what to print."""

from __future__ import annotations

from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from caterva2 import limits
from caterva2.cli import brackets, printing
from caterva2.cli.printing import Output
from caterva2.client import Client, Dataset, File, Root, keys
from caterva2.client.describing import ArrayDescription, FileDescription, human
from caterva2.errors import BadName, CatervaError, TooLarge
from caterva2.printable import printable

ASKED_AT_ONCE = 8
"""Requests at the same time for a long listing."""


def roots(client: Client, _: Namespace) -> Output:
    found = client.get_roots()
    described = (
        name + (" *" if root["subscribed"] else "") + (" (offline)" if root.get("offline") else "")
        for name, root in sorted(found.items())
    )
    return Output(found, lambda: printing.lines(described))


def subscribe(client: Client, options: Namespace) -> Output:
    answer = client.subscribe(options.root)
    return Output(answer, lambda: printable(answer))


def unsubscribe(client: Client, options: Namespace) -> Output:
    answer = client.unsubscribe(options.root)
    return Output(answer, lambda: printable(answer))


def listing(client: Client, options: Namespace) -> Output:
    names = client.get_list(options.path)
    base = options.path.rstrip("/")
    if names == [base.rpartition("/")[2]] and "/" in base:
        base = base.rpartition("/")[0]  # a file was named: it is listed by its base name
    paths = [f"{base}/{name}" for name in names]
    if not options.long:
        return Output(paths, lambda: printing.lines(paths))
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        found = list(pool.map(lambda path: _summary(client, path), paths))
    header = ("kind", "shape", "dtype", "size", "path")
    shown = [
        entry | {"size": "" if entry["size"] is None else human(entry["size"])} for entry in found
    ]
    table = [tuple(str(entry[name]) for name in header) for entry in shown]
    return Output(found, lambda: printing.rows(header, table))


def _summary(client: Client, path: str) -> dict[str, Any]:
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


def tree(client: Client, options: Namespace) -> Output:
    nested: printing.Nested = {}
    for name in client.get_list(options.path):
        place = nested
        *directories, base = name.split("/")
        for part in directories:
            place = place.setdefault(part, {})
        place[base] = None
    top = options.path.rstrip("/")
    return Output({top: nested}, lambda: printing.branches(top, nested))


def url(client: Client, options: Namespace) -> Output:
    found = client.get_download_url(options.path)
    return Output(found, lambda: printable(found))


def info(client: Client, options: Namespace) -> Output:
    meta = client.get_info(options.path)
    if meta.get("kind") == "group":
        return Output(meta, lambda: printing.facts(meta))
    path = options.path
    known = (ArrayDescription if "shape" in meta else FileDescription)(path, meta)
    return Output(meta, lambda: printing.facts(known.info))


def show(client: Client, options: Namespace) -> Output:
    path, key = brackets.split(options.path)
    found = client.get(path)
    if isinstance(found, Root):
        raise BadName(f"{path} is a root: name a file in it")
    _check_size(found, key)
    values = found[key]
    return Output(values, lambda: printing.values(values))


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
