"""What belongs to a backup of a subscriber: accounts and special roots above all."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from caterva2.accounts.store import BUSY_S, FILE
from caterva2.special import marker
from caterva2.special.pause import Pause
from caterva2.special.roots import SPACES
from caterva2.state.backup import Kind
from caterva2.state.errors import BackupFailed
from caterva2.state.kinds import wanted
from caterva2.subscriber.service import CACHE, CATALOGS

_CACHED = (CACHE, CATALOGS)
_LINKS = (CACHE, SPACES, *(f"{SPACES}/{name}" for name in marker.KEPT))
_STAGED = f"{SPACES}/incoming"
_GROWING = f"{SPACES}/unfinished/"
_LOG = re.compile(r"[^/]+\.log")
"""Access and audit logs that settings put here get lines all the time."""
_NOTE_BEING_WRITTEN = re.compile(rf"{SPACES}/(trash|unfinished)/[^/]+/\.about\.json\..+")


def kind(statedir: Path, cache: bool = False) -> Kind:
    """Return what belongs to a backup of a subscriber.

    Raises
    ------
    BackupFailed
        If special roots are not where they were: a backup would be without them.
    """
    missing = marker.missing(statedir / SPACES)
    if missing:
        raise BackupFailed(f"{missing} is missing, which held special roots: mount or restore it")

    def belongs(path: str) -> bool:
        top = path.partition("/")[0]
        return (
            wanted(path)
            and (cache or top not in _CACHED)
            and not top.startswith(FILE)
            and path != _STAGED
            and not _NOTE_BEING_WRITTEN.fullmatch(path)
        )

    def grows(path: str) -> bool:
        return path.startswith((_GROWING, f"{CACHE}/")) or _LOG.fullmatch(path) is not None

    def apart(path: str) -> bool:
        return path.partition("/")[0] in _CACHED

    return Kind(
        "cat2sub", belongs, grows, links=_LINKS, apart=apart, pause=Pause(statedir).held,
        add=lambda target: _accounts(statedir / FILE, target / FILE), cache=cache,
    )  # fmt: skip


def _accounts(source: Path, target: Path) -> Iterator[str]:
    if source.exists() or source.with_name(f"{FILE}-wal").exists():  # only accounts have one
        copy_accounts(source, target)
        yield target.name


def copy_accounts(source: Path, target: Path) -> None:
    """Copy the accounts as they are at one moment, though a service changes them.

    Raises
    ------
    BackupFailed
        If they can't be read, or are damaged.
    """
    try:
        with (
            contextlib.closing(_opened(source, "rw")) as accounts,
            contextlib.closing(_opened(target, "rwc")) as copy,
        ):
            target.chmod(0o600)
            accounts.backup(copy)  # in one step, or it would begin anew after each change
            copy.execute("PRAGMA journal_mode = DELETE")
            (problem,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            (version,) = copy.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise BackupFailed(f"{source} can't be copied: {error}") from None
    if version < 1:
        problem = "it has no accounts in it"
    if problem != "ok":
        raise BackupFailed(f"{source} is damaged ({' '.join(problem.split())}): see docs/backup.md")


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_S)
