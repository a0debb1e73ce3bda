"""Commands that transfer data, with their progress on a terminal."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from rich.progress import DownloadColumn, MofNCompleteColumn, TransferSpeedColumn

from caterva2.cli.commands import brackets
from caterva2.cli.terminal import output
from caterva2.cli.terminal.output import Output
from caterva2.cli.terminal.progress import watched
from caterva2.client import Client
from caterva2.errors import CatervaError
from caterva2.runtime.printable import printable

_POLL = 0.3  # seconds between two requests for the progress of a prefetch


def download(client: Client, options: Namespace) -> Output | None:
    """Save a file, or write it to standard output."""
    path = options.path
    if options.localpath == "-":
        _pour(client, path)
        return None
    with watched(path, DownloadColumn(), TransferSpeedColumn()) as progress:
        saved: Path = client.download(path, options.localpath, progress)
    return Output(str(saved), lambda: printable(f"Dataset saved to {saved}"))


def _pour(client: Client, path: str) -> None:
    try:
        client.download(path, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        output.abandon()
        raise CatervaError(f"{path}: standard output was closed before the end") from None


def upload(client: Client, options: Namespace) -> Output:
    """Upload a file."""
    with watched(options.path, DownloadColumn(), TransferSpeedColumn()) as progress:
        stored = client.upload(options.localpath, options.path, progress, unpack=options.unpack)
    return Output(str(stored), lambda: printable(f"Dataset stored in {stored}"))


def append(client: Client, options: Namespace) -> Output:
    """Append to an array."""
    shape = client.append(options.path, options.localpath)
    return Output(list(shape), lambda: printable(f"{options.path} now has the shape {shape}"))


def prefetch(client: Client, options: Namespace) -> Output:
    """Start a prefetch and wait for its end, or cancel it."""
    path, key = brackets.split(options.path)
    if options.cancel:
        job = client.cancel_prefetch(path, key)
        return Output(job, lambda: _progress_of(job))
    job = client.prefetch(path, key)
    if options.wait:
        job = _wait(client, path, key, job)
    if job["state"] == "failed":
        raise CatervaError(f"{options.path} is not prefetched: {job['error']}")
    return Output(job, lambda: _progress_of(job))


def _wait(client: Client, path: str, key: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of a job; an interruption does not cancel it."""
    with watched(path, MofNCompleteColumn()) as progress:
        while job["state"] in ("waiting", "running"):
            if progress:
                progress(job["done"], job["datasets"])
            time.sleep(_POLL)
            job = client.get_prefetch(path, key)
    return job


def _progress_of(job: dict[str, Any]) -> str:
    return printable(f"{job['path']}: {job['state']}, {job['done']} of {job['datasets']} datasets")
