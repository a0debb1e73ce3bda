"""The commands that move data, with their progress where somebody watches a terminal."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from rich.progress import DownloadColumn, MofNCompleteColumn, TransferSpeedColumn

from caterva2.cli.terminal import printing
from caterva2.cli.terminal.printing import Output
from caterva2.cli.terminal.progress import watched
from caterva2.client import Client
from caterva2.errors import CatervaError
from caterva2.runtime.printable import printable

LOOK_S = 0.3
"""Seconds between two looks at how far a prefetch is."""


def download(client: Client, options: Namespace) -> Output | None:
    path = options.path
    if options.localpath == "-":
        _pour(client, path)
        return None
    with watched(path, DownloadColumn(), TransferSpeedColumn()) as told:
        saved: Path = client.download(path, options.localpath, told)
    return Output(str(saved), lambda: printable(f"Dataset saved to {saved}"))


def _pour(client: Client, path: str) -> None:
    try:
        client.download(path, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        printing.abandon()
        raise CatervaError(f"{path}: whoever read it stopped to read") from None


def upload(client: Client, options: Namespace) -> Output:
    with watched(options.path, DownloadColumn(), TransferSpeedColumn()) as told:
        stored = client.upload(options.localpath, options.path, told, unpack=options.unpack)
    return Output(str(stored), lambda: printable(f"Dataset stored in {stored}"))


def append(client: Client, options: Namespace) -> Output:
    shape = client.append(options.path, options.localpath)
    return Output(list(shape), lambda: printable(f"{options.path} has the shape {shape} now"))


def prefetch(client: Client, options: Namespace) -> Output:
    path = options.path
    if options.cancel:
        job = client.cancel_prefetch(path)
        return Output(job, lambda: _told(job))
    job = client.prefetch(path)
    if options.wait:
        job = _wait(client, path, job)
    if job["state"] == "failed":
        raise CatervaError(f"{path} is not prefetched: {job['error']}")
    return Output(job, lambda: _told(job))


def _wait(client: Client, path: str, job: dict[str, Any]) -> dict[str, Any]:
    """The job at its end; whoever stops to wait does not stop it."""
    with watched(path, MofNCompleteColumn()) as told:
        while job["state"] in ("waiting", "running"):
            if told:
                told(job["done"], job["datasets"])
            time.sleep(LOOK_S)
            job = client.get_prefetch(path)
    return job


def _told(job: dict[str, Any]) -> str:
    return printable(f"{job['path']}: {job['state']}, {job['done']} of {job['datasets']} datasets")
