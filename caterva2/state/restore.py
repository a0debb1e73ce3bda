"""Putting a backup back: nothing of it appears before every digest has been verified."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from caterva2.runtime.statedir import StateDir
from caterva2.state import manifest, tree
from caterva2.state.backup import STATE, Progress, Report
from caterva2.state.errors import BackupFailed
from caterva2.state.kinds import LOCKS
from caterva2.state.manifest import Item
from caterva2.state.place import is_fixed, made_beside, made_within

_PREFIX = f"{STATE}/"


def restore(
    backup: Path,
    statedir: Path,
    service: str,
    force: bool = False,
    progress: Progress = lambda _files, _bytes: None,
) -> tuple[manifest.Head, Report]:
    """Make a state directory of a backup; it appears when it is complete.

    Parameters
    ----------
    backup, statedir : Path
    service : str
        Command whose backup it has to be.
    force : bool
        Whether a state directory that is there is renamed to ``NAME.before``, not refused.
    progress : callable, optional

    Returns
    -------
    tuple of Head and Report

    Raises
    ------
    BackupFailed
        If the backup is damaged, or of another service, or there is something at its place.
    StartError
        If a service uses the state directory.
    OSError
        If it can't be written. Nothing has changed then.
    """
    statedir = statedir.absolute()
    report = Report()
    with contextlib.ExitStack() as lock, contextlib.ExitStack() as stack:
        reading = stack.enter_context(_opened(backup, service))
        was_there = statedir.exists()
        if was_there:
            lock.enter_context(StateDir(statedir))
        making = made_beside(statedir, LOCKS, force)
        if is_fixed(statedir):
            making = made_within(statedir, LOCKS)
        place = stack.enter_context(making)
        for item in reading.items():
            _restore(backup, item, place)
            report.files += bool(item.digest)
            report.nbytes += item.size
            progress(report.files, report.nbytes)
        if not was_there and statedir.exists():  # a service may have made it meanwhile
            lock.enter_context(StateDir(statedir))
    return reading.head, report


@contextlib.contextmanager
def _opened(backup: Path, service: str) -> Iterator[manifest.Reading]:
    path = backup / manifest.FILE
    try:
        file = tree.open_below(backup, manifest.FILE)
    except OSError as error:
        raise BackupFailed(f"{backup} is no backup: {path}: {error.strerror}") from None
    with os.fdopen(file, "rb") as opened:
        reading = manifest.Reading(opened, path)
        if reading.head.service != service:
            raise BackupFailed(f"{backup} is a backup of {reading.head.service}, not of {service}")
        yield reading


def _restore(backup: Path, item: Item, place: Path) -> None:
    """Copy what is of the state directory, and verify all else, too."""
    parts = item.path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise BackupFailed(f"{item.path[:200]!r} is no path of a backup: nothing was restored")
    of_state = item.path.startswith(_PREFIX)
    target = place / item.path.removeprefix(_PREFIX)
    if not item.digest:
        if of_state:
            tree.make_directory(target)
        return
    with _source(backup, item) as file:
        if of_state:
            found = tree.copy(file, target)
            os.utime(target, ns=(item.mtime, item.mtime))
        else:
            found = tree.digest_of(file)
    if found != (item.size, item.digest):
        raise BackupFailed(f"{item.path} is not as it was backed up: nothing was restored")


@contextlib.contextmanager
def _source(backup: Path, item: Item) -> Iterator[int]:
    try:
        file = tree.open_below(backup, item.path)
    except OSError as error:
        reason = f"{item.path} can't be read: {error.strerror}"
        raise BackupFailed(f"{reason}: nothing was restored") from None
    try:
        yield file
    finally:
        os.close(file)
