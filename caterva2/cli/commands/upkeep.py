"""Backups and checks of state directories from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from caterva2 import config
from caterva2.cli.arguments import complain
from caterva2.names import RootName
from caterva2.runtime.printable import printable
from caterva2.state import backup, checks, findings, kinds, restore
from caterva2.state.backup import Kind, Progress
from caterva2.state.errors import BackupFailed
from caterva2.state.findings import Finding

_STEP = 256
"""Files between two lines of progress."""


def broker(options: argparse.Namespace, statedir: Path) -> int:
    """Check or copy the state of a broker, or put it back; return the exit code."""
    if options.check:
        return check("cat2bro", statedir, lambda _: checks.broker(statedir))
    return run("cat2bro", options, statedir, lambda: kinds.BROKER)


def publisher(options: argparse.Namespace, statedir: Path, root: RootName) -> int:
    """Check or copy the state of a publisher, or put it back; return the exit code."""
    if options.check:
        return check("cat2pub", statedir, lambda _: checks.publisher(statedir, root))
    return run("cat2pub", options, statedir, lambda: kinds.PUBLISHER)


def subscriber(options: argparse.Namespace, statedir: Path) -> int:
    """Check or copy the state of a subscriber, or put it back; return the exit code."""
    from caterva2.state import subscriber as kind  # a broker has no numpy
    from caterva2.state import subscriber_checks

    if options.check:
        look = subscriber_checks.subscriber
        return check("cat2sub", statedir, lambda in_use: look(statedir, in_use))
    return run("cat2sub", options, statedir, lambda: kind.kind(statedir, options.with_cache))


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


def check(service: str, statedir: Path, look: Callable[[bool], Iterable[Finding]]) -> int:
    """Print what is wrong with a state directory, and change nothing; return the exit code.

    Parameters
    ----------
    service : str
    statedir : Path
    look : callable
        Finds it; gets whether a service runs on the directory.
    """
    faults = 0
    with findings.looking(statedir) as in_use:
        for found in look(in_use):
            faults += found.fault
            print(printable(f"{'fault' if found.fault else 'note'}: {found}"))
    if in_use:
        print("the service runs: what it changes all the time was not looked at")
    print(f"{service}: {statedir}: {faults} fault{'s' * (faults != 1)}")
    return 1 if faults else 0


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
