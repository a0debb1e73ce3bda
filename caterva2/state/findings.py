"""What a check of a state directory finds, and the looks that any service has in common."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from caterva2.errors import CatervaError, StartError
from caterva2.runtime.statedir import RESTORING
from caterva2.state.place import PARTIAL

_PACKAGE = "caterva2"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a file, with what is to be done, and whether it is a fault."""

    path: str
    text: str
    fault: bool = True

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


Look = Callable[[Path], Iterable[Finding]]
"""Looks at a copy of state files, as a service does that starts, or at the directory itself."""


class _Warnings(logging.Handler):
    """Keeps the warnings of readers as texts."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def trial(statedir: Path, names: Iterable[str], start: Callable[[Path], object]) -> list[Finding]:
    """Return what a start says about some files, by trying it with copies of them.

    Parameters
    ----------
    statedir : Path
    names : iterable of str
        Files, or directories of files; those that are missing are left out.
    start : callable
        Reads them as a start does; gets the directory of the copies.
    """
    with tempfile.TemporaryDirectory() as temporary, _warnings() as warnings:
        copies = Path(temporary)
        try:
            copy_files(statedir, names, copies)
            start(copies)
        except CatervaError as error:
            warnings.texts.append(str(error))
        except OSError as error:
            warnings.texts.append(f"{error.filename}: {error.strerror}")
    texts = (text.replace(temporary, str(statedir)) for text in warnings.texts)
    return [Finding("", f"at a start: {text}") for text in texts]


@contextlib.contextmanager
def _warnings() -> Iterator[_Warnings]:
    log, handler = logging.getLogger(_PACKAGE), _Warnings()
    propagates, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield handler
    finally:
        log.removeHandler(handler)
        log.propagate = propagates


def copy_files(statedir: Path, names: Iterable[str], copies: Path) -> None:
    """Copy some files, or directories of files, of a state directory to another one."""
    for name in names:
        _copy(statedir / name, copies / name)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():  # what begins with a dot is being written
        hidden = shutil.ignore_patterns(".*")
        shutil.copytree(source, target, ignore=hidden, copy_function=_copy_file)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy_file(source, target)


def _copy_file(source: str | Path, target: str | Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # it may be removed meanwhile
        shutil.copy2(source, target)


def leftovers(statedir: Path) -> Iterator[Finding]:
    """Look for what was set aside, and for what a killed process left."""
    for path in sorted(statedir.iterdir()):
        if path.name == RESTORING:
            text = "a backup was restored in part: remove all that is here, and restore it again"
            yield Finding(path.name, text)
        elif path.name.endswith(".bad"):
            yield Finding(path.name, "was set aside as damaged: look at it, or remove it", False)
        elif path.name.startswith(".") and (path.is_file() or path.name == PARTIAL):
            yield Finding(path.name, "is left of a process that was killed: remove it", False)


@contextlib.contextmanager
def looking(statedir: Path) -> Iterator[bool]:
    """Lock a state directory that is not in use, changing nothing; say whether it is in use.

    Raises
    ------
    StartError
        If there is none.
    """
    if not statedir.is_dir():
        raise StartError(f"{statedir} is no state directory")
    try:
        lock = os.open(statedir / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        in_use = False
    except BlockingIOError:
        in_use = True
    try:
        yield in_use
    finally:
        os.close(lock)
