"""Staged output: a file or directory that is renamed into place when it is complete."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from caterva2.errors import BadRequest
from caterva2.runtime import durable


@contextlib.contextmanager
def staged_output(target: Path, force: bool, source: Path, *, is_directory: bool) -> Iterator[Path]:
    """Give a path to write to, which becomes ``target``; it is removed if the work fails.

    Parameters
    ----------
    target : Path
    force : bool
        Replace a target that exists.
    source : Path
        What it is made from, which is never replaced.
    is_directory : bool
        What the target becomes; another kind of thing is never replaced.

    Raises
    ------
    BadRequest
        If the target exists and may not be replaced.
    OSError
        If the directory can't be written.
    """
    target, source = target.absolute(), source.resolve()
    if target.is_symlink() or target.exists():
        if not force:
            raise BadRequest(f"{target} exists; --force replaces it")
        if source.is_relative_to(target.resolve()):
            raise BadRequest(f"{target} contains the source, which is never replaced")
        if target.is_dir() != is_directory:
            kind = "directory" if target.is_dir() else "file"
            raise BadRequest(f"{target} is a {kind}, which this does not replace")
    # Named before it is made, so that it is removed after an interruption at any instant.
    made = target.parent / f".{target.name[:200]}.{secrets.token_hex(4)}.partial"
    new, old = made / "new", made / "old"
    try:
        made.mkdir(mode=0o700)
        yield new
        _commit(new, target, old)
    finally:
        is_replaced = os.path.lexists(target) or not os.path.lexists(old)
        if is_replaced:  # else the old one is all that is left of the target
            shutil.rmtree(made, ignore_errors=True)


def _commit(new: Path, target: Path, old: Path) -> None:
    """Put the new file or directory in place; a directory that it replaces becomes ``old``."""
    if not new.is_dir():
        os.replace(new, target)
    else:
        try:
            with contextlib.suppress(FileNotFoundError):
                os.rename(target, old)
            os.rename(new, target)
        except BaseException:  # an interruption, too, leaves what was there
            with contextlib.suppress(OSError):
                os.rename(old, target)
            raise
    durable.sync_directory(target.parent)
