"""A file or directory that appears at its place when it is complete, and not before."""

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
def appearing(target: Path, force: bool, source: Path) -> Iterator[Path]:
    """Where to write what becomes ``target``; nothing stays of it if that fails.

    Parameters
    ----------
    target : Path
    force : bool
        Replace what is there already.
    source : Path
        What it is made of, which is never replaced.

    Raises
    ------
    BadRequest
        If there is something already and may not be replaced.
    OSError
        If the directory can't be written.
    """
    target, source = target.absolute(), source.resolve()
    if target.is_symlink() or target.exists():
        if not force:
            raise BadRequest(f"{target} exists; --force replaces it")
        if source.is_relative_to(target.resolve()):
            raise BadRequest(f"{target} holds the source, which is never replaced")
        if target.is_dir() != source.is_file():
            raise BadRequest(f"{target} is not what is made here, so it is not replaced")
    # Named before it is made, so that an interruption at any instant finds what to remove.
    made = target.parent / f".{target.name[:200]}.{secrets.token_hex(4)}.partial"
    new, old = made / "new", made / "old"
    try:
        made.mkdir(mode=0o700)
        yield new
        _put(new, target, old)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _put(new: Path, target: Path, old: Path) -> None:
    """Have what is new at its place; what was there is at ``old`` then."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(target, old)
    try:
        os.rename(new, target)
    except OSError:
        with contextlib.suppress(OSError):
            os.rename(old, target)
        raise
    durable.sync_directory(target.parent)
