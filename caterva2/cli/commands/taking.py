"""Commands that take data home, bring it in step, and show the client's cache."""

from __future__ import annotations

import contextlib
import shutil
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from stat import S_ISREG
from typing import Any

from rich.progress import DownloadColumn, TransferSpeedColumn

from caterva2.cli.commands import brackets
from caterva2.cli.terminal import output
from caterva2.cli.terminal.output import Output
from caterva2.cli.terminal.progress import watched
from caterva2.client import caching
from caterva2.client.client import Client
from caterva2.client.display import human
from caterva2.depot import place, taking
from caterva2.depot.taking import Item, Report
from caterva2.depot.transport import CachingTransport
from caterva2.runtime.printable import printable


def take(client: Client, options: Namespace) -> Output:
    """Take datasets, parts, directories and roots into the cache, or as files."""
    client = _keeping(client, options)
    wanted = [brackets.split(text) for text in options.paths]
    inside = options.to is None
    planned = [
        taking.plan(client, path, taking.text_of(key), inside=inside) for path, key in wanted
    ]
    items = [item for some in planned for item in some]
    if options.dry_run:
        return Output([asdict(item) for item in items], lambda: output.lines(_sizes(items)))
    size = f"{_count(len(items))}, {human(sum(item.nbytes for item in items))}"
    if not options.yes and not _confirmed(f"Take {size}?"):
        return Output(None, lambda: "Nothing was taken")
    report = Report()
    for (path, key), text in zip(wanted, options.paths, strict=True):
        with watched(text, DownloadColumn(), TransferSpeedColumn()) as progress:
            _add(report, client.take(path, key, to=options.to, progress=progress))
    return _shown(report)


def sync(client: Client, options: Namespace) -> Output:
    """Bring what was taken in step."""
    client = _keeping(client, options)
    with watched("sync", DownloadColumn(), TransferSpeedColumn()) as progress:
        return _shown(client.sync(to=options.to, delete=options.delete, progress=progress))


def cache(_: Client, options: Namespace) -> Output:
    """Show the cache, or remove all that is in it."""
    directory = _directory(options)
    owners = place.owners(directory)
    if options.action == "clear":
        size = sum(map(_bytes, owners))
        if not options.yes and not _confirmed(f"Remove {human(size)} from {directory}?"):
            return Output(None, lambda: "Nothing was removed")
        for own in owners:
            shutil.rmtree(own)
        return Output(size, lambda: printable(f"{human(size)} removed from {directory}"))
    found = [
        {**owner, "directory": str(own), "bytes": _bytes(own)} for own, owner in owners.items()
    ]
    return Output(found, lambda: output.lines(_owned(found)) or f"{directory} is empty")


def _keeping(client: Client, options: Namespace) -> Client:
    """Return the client, with the cache that is asked for, or one if nothing is."""
    plain = client.transport
    if isinstance(plain, CachingTransport) and options.cache:
        plain = plain.inner
    if options.to is not None or isinstance(plain, CachingTransport):
        return client
    return Client.over(caching.cached(plain, options.cache or True, None, False))


def _directory(options: Namespace) -> Path:
    named = caching.of_environment()
    return place.directory_of(options.cache or (True if named is False else named))


def _confirmed(question: str) -> bool:
    """Ask on a terminal; a script is taken at its word."""
    if not sys.stdin.isatty():
        return True
    print(printable(f"{question} [y/N] "), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "y"


def _count(number: int) -> str:
    return f"{number} dataset{'' if number == 1 else 's'}"


def _add(report: Report, other: Report) -> None:
    report.taken += other.taken
    report.unchanged += other.unchanged
    report.failed |= other.failed
    report.nbytes += other.nbytes


def _shown(report: Report) -> Output:
    """Return the output of a report; the exit code is 1 if anything failed."""
    texts = [
        *(f"{path}: {why}" for path, why in report.failed.items()),
        *(f"{path}: the subscriber does not have it any more" for path in report.removed),
        f"{_count(len(report.taken))} taken, {len(report.unchanged)} unchanged",
    ]
    return Output(asdict(report), lambda: output.lines(texts), 1 if report.failed else 0)


def _sizes(items: list[Item]) -> list[str]:
    texts = [
        f"{human(item.nbytes):>10}  {item.path}{f'[{item.key}]' if item.key else ''}"
        + (f"  ({item.error})" if item.error else "")
        for item in items
    ]
    return [*texts, f"{human(sum(item.nbytes for item in items)):>10}  {_count(len(items))}"]


def _owned(found: list[dict[str, Any]]) -> list[str]:
    return [f"{human(one['bytes']):>10}  {one['url']}  {one['owner']}" for one in found]


def _bytes(directory: Path) -> int:
    size = 0
    for file in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a process is at work
            status = file.lstat()
            size += min(status.st_size, 512 * status.st_blocks) * S_ISREG(status.st_mode)
    return size
