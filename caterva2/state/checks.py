"""Checks of the state of a broker and of a publisher, and of the keys of any service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from caterva2.broker.roots_log import FIRST_FORMAT, ROOTS_LOG, RootsLog
from caterva2.errors import ConfigError
from caterva2.names import RootName
from caterva2.publisher.lease import LEASE_FILE, LeaseFile
from caterva2.runtime import batches, statefile
from caterva2.signing import keys as signing
from caterva2.sources.directory import seen
from caterva2.state.findings import Finding, leftovers, trial
from caterva2.wire.auth import keys, list_file
from caterva2.wire.auth.allow_list import AllowList

LISTING = "listing"


def broker(statedir: Path) -> Iterator[Finding]:
    """Check the state of a broker."""
    yield from trial(statedir, (ROOTS_LOG, FIRST_FORMAT), lambda copies: RootsLog(copies).read())
    yield from links(statedir)
    yield from leftovers(statedir)


def publisher(statedir: Path, root: RootName) -> Iterator[Finding]:
    """Check the state of a publisher."""
    yield from trial(
        statedir, (LEASE_FILE,), lambda copies: LeaseFile(copies / LEASE_FILE, root).read()
    )
    yield from _listing(statedir / LISTING)
    yield from links(statedir)
    yield from leftovers(statedir)


def _listing(path: Path) -> Iterator[Finding]:
    if not path.exists():
        return
    try:
        saved = batches.read(path)
        head = next(saved)
        if head is None:
            raise ValueError("it is empty")
        batches.refuse_newer(path, head, seen.FORMAT)
        for _ in saved:
            pass
    except batches.UNREADABLE as error:
        reason = statefile.reason(error)
        yield Finding(path.name, f"can't be used ({reason}): all files are opened at a start")


def links(statedir: Path) -> Iterator[Finding]:
    """Check the key of a service and the list of those that it admits."""
    yield from trial(statedir, (keys.FILE,), lambda copies: keys.read(copies / keys.FILE))
    yield from trial(statedir, (signing.FILE,), lambda copies: signing.read(copies / signing.FILE))
    yield from trial(statedir, (list_file.FILE,), _list)


def _list(copies: Path) -> None:
    path = copies / list_file.FILE
    text = list_file.read(path)
    problems = AllowList.parse(text).problems if text is not None else ()
    if problems:
        raise ConfigError(f"{path}: {'; '.join(problems)}")
