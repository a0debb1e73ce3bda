"""A directory that appears at its place when it is complete."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from caterva2.runtime import durable
from caterva2.runtime.statedir import RESTORING
from caterva2.state.errors import BackupFailed

PARTIAL = ".restored.partial"
"""Where the content of a directory is made that can't be renamed."""


@contextlib.contextmanager
def made_beside(target: Path, void: Collection[str] = (), replaces: bool = False) -> Iterator[Path]:
    """Make a directory beside its place, and rename it when the block is left without an error.

    Everything in it is flushed to the disk before that. What an interrupted run left is named
    ``.NAME.partial`` until the next run removes it.

    Parameters
    ----------
    target : Path
    void : collection of str
        Files that may be there already, since they have no content.
    replaces : bool
        Whether a directory that is there already is renamed to ``NAME.before``.

    Raises
    ------
    BackupFailed
        If there is something at the place, or another process makes it now.
    """
    target = target.absolute()
    before = target.with_name(f"{target.name}.before") if replaces else None
    _check_free(target, void, before)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    with _locked(partial, target):
        _empty(partial)
        try:
            yield partial
            durable.sync_tree(partial)
            _check_free(target, void, before)
            _put(partial, target, void, before)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def is_fixed(target: Path) -> bool:
    """Return whether a directory can't be renamed: another file system, or not in our own."""
    return target.is_dir() and (os.path.ismount(target) or not os.access(target.parent, os.W_OK))


@contextlib.contextmanager
def made_within(target: Path, void: Collection[str] = ()) -> Iterator[Path]:
    """Make the content of a directory that can't be renamed, when the block is left.

    While it is moved to its place, `RESTORING` stands there, so that no service starts with half
    of it. Parameters and errors are those of `made_beside`.
    """
    target = target.absolute()
    _check_free(target, {*void, PARTIAL}, None)
    partial = target / PARTIAL
    with _locked(partial, target):
        _empty(partial)
        try:
            yield partial
            durable.sync_tree(partial)
            durable.write(target / RESTORING, b"")
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for path in partial.iterdir():
            os.rename(path, target / path.name)
        durable.sync_directory(target)
        partial.rmdir()
        (target / RESTORING).unlink()
        durable.sync_directory(target)


@contextlib.contextmanager
def _locked(partial: Path, target: Path) -> Iterator[None]:
    try:
        partial.mkdir(mode=0o700)
    except FileExistsError:
        if os.lstat(partial).st_uid != os.geteuid():  # who could change what is written there
            raise BackupFailed(f"{partial} is of another user: remove it") from None
    lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not _is_locked(lock, partial):
            raise BackupFailed(f"another process makes {target} now")
        yield
    finally:
        os.close(lock)


def _is_locked(directory: int, path: Path) -> bool:
    """Lock an open directory; return False if another process did, and may have replaced it."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(directory), os.lstat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


def _put(partial: Path, target: Path, void: Collection[str], before: Path | None) -> None:
    if before is not None and not _is_free(target, void):
        os.rename(target, before)
    for name in void:
        (target / name).unlink(missing_ok=True)
    try:
        os.rename(partial, target)  # an empty directory is replaced
    except OSError:
        if before is not None and not target.exists():
            os.rename(before, target)
        raise
    durable.sync_directory(target.parent)


def _check_free(target: Path, void: Collection[str], before: Path | None) -> None:
    if _is_free(target, void):
        return
    if before is None or not target.is_dir() or target.is_symlink():
        raise BackupFailed(f"{target} exists already, and is not empty: nothing was changed")
    if before.is_symlink() or before.exists():
        raise BackupFailed(f"{before} exists already: nothing was changed")


def _is_free(target: Path, void: Collection[str]) -> bool:
    """Return whether there is nothing, or an empty directory."""
    if target.is_symlink() or not target.exists():
        return not target.is_symlink()
    return target.is_dir() and all(path.name in void for path in target.iterdir())


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
