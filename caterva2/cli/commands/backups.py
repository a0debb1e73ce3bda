"""Backups of state directories from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from caterva2 import config
from caterva2.backups import backup, restore
from caterva2.backups.backup import Kind, Progress
from caterva2.backups.errors import BackupFailed
from caterva2.cli.arguments import complain
from caterva2.runtime.printable import printable

_STEP = 256
"""Files between two lines of progress."""


def asked(options: argparse.Namespace) -> bool:
    """Return whether a command line asks for a backup, or for one to be restored."""
    return options.backup is not None or options.restore is not None


def run(service: str, options: argparse.Namespace, statedir: Path, kind: Callable[[], Kind]) -> int:
    """Make a backup or restore one; return the exit code.

    Raises
    ------
    BackupFailed, StartError
    """
    try:
        if options.backup is not None:
            return _back_up(kind(), statedir, options.backup, options.conf)
        return _restore(service, statedir, options.restore, options.force)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise BackupFailed(f"{where}{error.strerror or error}: nothing was changed") from None


def _back_up(kind: Kind, statedir: Path, target: Path, conf: Path | None) -> int:
    settings = conf or Path(config.FILE)
    with _progress(kind.service) as progress:
        found = settings if settings.exists() else None
        report = backup.make(kind, statedir, target, found, progress)
    print(f"{target}: {report.files} files, {report.nbytes} bytes")
    if report.paused >= 0.001 and kind.service == "cat2sub":
        print(f"changes of special roots paused for {report.paused:.3f} s")
    for path, reason in report.left_out.items():
        print(printable(f"left out: {path} is {reason}"))
    for path in report.torn:
        complain(kind.service, f"{path} was written by another program: it may be torn")
    if (target / backup.STATE / "key").exists():
        print("the key of the service is in it: keep it as safe as the state directory")
    return 1 if report.torn else 0


def _restore(service: str, statedir: Path, source: Path, force: bool) -> int:
    with _progress(service) as progress:
        head, report = restore.restore(source, statedir, service, force, progress)
    print(f"{statedir}: {report.files} files, {report.nbytes} bytes, as of {printable(head.made)}")
    if (source / backup.SETTINGS).exists():
        print(f"the settings of then are in {source / backup.SETTINGS}")
    return 0


@contextmanager
def _progress(service: str) -> Iterator[Progress]:
    """Show the progress on one line of a terminal."""
    if not sys.stderr.isatty():
        yield lambda _files, _bytes: None
        return

    def show(files: int, nbytes: int) -> None:
        if files % _STEP == 0 or nbytes > shown[0] + 2**28:
            shown[0] = nbytes
            print(f"\r{service}: {files} files, {nbytes / 1e6:.0f} MB", end="", file=sys.stderr)

    shown = [0]
    yield show
    print("\r\x1b[K", end="", file=sys.stderr)
