"""``cat2cli``: a subscriber from the command line."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from caterva2 import config, selection
from caterva2.cli import arguments
from caterva2.client import Client, Dataset, Root
from caterva2.config import ClientSettings
from caterva2.errors import BadSelection, ConfigError
from caterva2.frames.metadata import jsonable

_WITH_SLICE = re.compile(r"(?P<path>[^\[\]]+)(?:\[(?P<slice>[^\[\]]*)\])?")


def make_parser() -> argparse.ArgumentParser:
    made = arguments.parser("cat2cli", "Look at a subscriber's roots and get their data.")
    made.add_argument(
        "--subscriber", metavar="URL", help="default: CATERVA2_URL, or http://127.0.0.1:8002"
    )
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(
        name: str, work: Callable[[Client, argparse.Namespace], Any], text: str, *aliases: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, aliases=list(aliases))
        command.add_argument("--json", action="store_true", help="print JSON")
        command.set_defaults(work=work)
        return command

    add("roots", roots, "List the roots; a * marks those that are subscribed to.")
    add("subscribe", subscribe, "Follow a root.").add_argument("root", metavar="ROOT")
    add("list", listing, "List the files of a root or directory.", "ls").add_argument(
        "path", metavar="PATH"
    )
    add("tree", tree, "Show the files of a root or directory as a tree.").add_argument(
        "path", metavar="PATH"
    )
    add("url", url, "Print the URL that downloads a file.").add_argument("path", metavar="PATH")
    add("info", info, "Describe a dataset, a file or a directory.").add_argument(
        "path", metavar="PATH"
    )
    add("show", show, "Print the values of a dataset, or of a slice of it.").add_argument(
        "path", metavar="PATH[SLICE]", help="such as foo/ds.b2nd[3:5, ::2]"
    )
    command = add("download", download, "Save a file or dataset.")
    command.add_argument("path", metavar="PATH")
    command.add_argument("localpath", metavar="LOCAL", nargs="?", type=Path, help="default: PATH")
    return made


def main(argv: list[str] | None = None) -> int:
    return arguments.guarded("cat2cli", lambda: run(argv))


def run(argv: list[str] | None) -> int:
    options = make_parser().parse_args(argv)
    settings = config.load(ClientSettings, options.conf)
    client = Client(options.subscriber or _from_file(settings))
    try:
        output = options.work(client, options)
    except BadSelection as error:
        raise ConfigError(str(error)) from None
    try:
        print(json.dumps(jsonable(output)) if options.json else output, flush=True)
    except BrokenPipeError:  # head(1) has seen enough
        sys.stderr.close()
    return 0


def _from_file(settings: ClientSettings) -> str | None:
    """The file's subscriber, unless it is the default that the environment may change."""
    return settings.subscriber if "subscriber" in settings.model_fields_set else None


# --- commands: each returns what to print ---


def roots(client: Client, options: argparse.Namespace) -> Any:
    found = client.get_roots()
    if options.json:
        return found
    return "\n".join(
        name + (" *" if root["subscribed"] else "") + (" (offline)" if root.get("offline") else "")
        for name, root in sorted(found.items())
    )


def subscribe(client: Client, options: argparse.Namespace) -> Any:
    return client.subscribe(options.root)


def listing(client: Client, options: argparse.Namespace) -> Any:
    names = client.get_list(options.path)
    base = options.path.rstrip("/")
    if names == [base.rpartition("/")[2]] and "/" in base:
        base = base.rpartition("/")[0]  # a file was named: it is listed by its base name
    full = [f"{base}/{name}" for name in names]
    return full if options.json else "\n".join(full)


def tree(client: Client, options: argparse.Namespace) -> Any:
    names = client.get_list(options.path)
    nested: dict[str, Any] = {}
    for name in names:
        place = nested
        for part in name.split("/"):
            place = place.setdefault(part, {})
    if options.json:
        return {options.path: nested}
    return "\n".join([options.path.rstrip("/"), *_branches(nested, "")])


def _branches(nested: dict[str, Any], indent: str) -> Iterable[str]:
    for n, (name, below) in enumerate(sorted(nested.items())):
        last = n == len(nested) - 1
        yield f"{indent}{'└── ' if last else '├── '}{name}"
        yield from _branches(below, indent + ("    " if last else "│   "))


def url(client: Client, options: argparse.Namespace) -> Any:
    return client.get_download_url(options.path)


def info(client: Client, options: argparse.Namespace) -> Any:
    found = client.get_info(options.path)
    return found if options.json else "\n".join(_described(found, ""))


def _described(found: dict[str, Any], indent: str) -> Iterable[str]:
    width = max(map(len, found), default=0)
    for name, value in found.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{name}:"
            yield from _described(value, indent + "  ")
        else:
            yield f"{indent}{name:<{width}} : {value}"


def show(client: Client, options: argparse.Namespace) -> Any:
    match = _WITH_SLICE.fullmatch(options.path)
    if not match:
        raise ConfigError(f"{options.path!r} is not PATH or PATH[SLICE]")
    key = selection.parse_key(match["slice"])
    found = client.get(match["path"])
    if isinstance(found, Root):
        raise ConfigError(f"{found.name} is a root: name a file in it")
    values = found[key] if key else found[()]
    if isinstance(found, Dataset):
        return np.asarray(values).tolist() if options.json else str(values)
    return _text(values)


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"Binary data ({len(data)} bytes)"
    printable = all(c.isprintable() or c in "\r\n\t" for c in text[:4096])
    return text if printable else f"Binary data ({len(data)} bytes)"


def download(client: Client, options: argparse.Namespace) -> Any:
    console = Console(stderr=True)
    if not console.is_terminal:
        saved = client.download(options.path, options.localpath)
    else:
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
        with Progress(*columns, TransferSpeedColumn(), console=console) as bar:
            task = bar.add_task(options.path)
            saved = client.download(
                options.path,
                options.localpath,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
    return str(saved) if options.json else f"Dataset saved to {saved}"


if __name__ == "__main__":
    sys.exit(main())
