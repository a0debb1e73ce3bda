"""Check of the state of a subscriber: accounts, special roots, subscriptions and cache."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

from caterva2.accounts.store import FILE, AccountStore
from caterva2.cache import check as cache
from caterva2.compute import recipes
from caterva2.errors import BadUpload, CatervaError, SourceCorrupt, StartError
from caterva2.limits.constants import RECIPE_BYTES
from caterva2.mirror.provenance import FILE as MIRRORS
from caterva2.mirror.provenance import Provenance
from caterva2.names import DatasetPath, RootName
from caterva2.sources.kinds import RECIPE_MAGIC, is_hidden, kind_of
from caterva2.special import marker
from caterva2.special.files import LooseFrame
from caterva2.special.roots import SPACES
from caterva2.state import tree
from caterva2.state.checks import links
from caterva2.state.errors import BackupFailed
from caterva2.state.findings import Finding, copy_files, leftovers, trial
from caterva2.state.subscriber import copy_accounts
from caterva2.subscriber.catalog import saved
from caterva2.subscriber.publishers.rights import FILE as RIGHTS
from caterva2.subscriber.publishers.rights import PublishedRights
from caterva2.subscriber.service import CACHE, CATALOGS
from caterva2.subscriber.subscriptions import FILE as SUBSCRIBED
from caterva2.subscriber.subscriptions import Subscriptions
from caterva2.subscriber.trust.pins import FILE as SIGNERS
from caterva2.subscriber.trust.pins import Pins

MARKER = f"{SPACES}.json"
_PERSONAL = f"{SPACES}/personal"
_OF_KILLS = "is left of a process that was killed: the next start removes it"


def subscriber(statedir: Path, in_use: bool) -> Iterator[Finding]:
    """Check the state of a subscriber; what changes all the time only if none runs."""
    yield from trial(statedir, (SUBSCRIBED,), lambda copies: Subscriptions(copies).read())
    yield from trial(statedir, (SIGNERS,), lambda copies: Pins(copies / SIGNERS))
    yield from trial(statedir, (RIGHTS,), lambda copies: PublishedRights(copies / RIGHTS))
    yield from trial(statedir, (CATALOGS,), _catalogs)
    yield from trial(statedir, (MIRRORS,), lambda copies: Provenance(copies, ""))
    yield from links(statedir)
    idents = yield from _accounts(statedir, in_use)
    yield from _special_roots(statedir, in_use)
    if idents is not None:
        yield from _personal(statedir, *idents)
    yield from leftovers(statedir)
    if not in_use:
        yield from _cache(statedir)


def _catalogs(copies: Path) -> None:
    directory = copies / CATALOGS
    if directory.exists():
        saved.refuse_newer(directory)
        for file in sorted(directory.iterdir()):
            saved.read(file, RootName(file.name))


def _accounts(
    statedir: Path, in_use: bool
) -> Generator[Finding, None, tuple[set[str], set[str]] | None]:
    """Check the accounts; the result has the idents of users, and of those being deleted."""
    path = statedir / FILE
    if not path.exists():
        if path.with_name(f"{FILE}-wal").exists():
            yield Finding(FILE, "is missing: restore the accounts from a backup")
        return None
    if path.stat().st_size == 0:
        yield Finding(FILE, "is empty: restore the accounts from a backup")
        return None
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary, FILE)
        try:
            if in_use:
                copy_accounts(path, copy)
            else:  # opening it would change it, where a killed process left a -wal file
                copy_files(statedir, (FILE, f"{FILE}-wal"), Path(temporary))
            with contextlib.closing(AccountStore(copy)) as store:
                users = {account.user.ident for account in store.users()}
                deleted = {user.ident for user in store.deleted()}
            with contextlib.closing(sqlite3.connect(copy)) as accounts:
                for (problem,) in accounts.execute("PRAGMA integrity_check(9)").fetchall():
                    if problem != "ok":
                        yield Finding(FILE, f"{problem}: restore the accounts from a backup")
                broken = accounts.execute("PRAGMA foreign_key_check").fetchall()
        except (BackupFailed, StartError, sqlite3.Error) as error:
            yield Finding("", str(error).replace(temporary, str(statedir)))
            return None
    if broken:
        yield Finding(FILE, f"{len(broken)} sessions or tokens are of no user: restore a backup")
    return users, deleted


def _special_roots(statedir: Path, in_use: bool) -> Iterator[Finding]:
    spaces = statedir / SPACES
    lost = marker.missing(spaces)
    if lost is not None:
        yield Finding("", f"{lost} is missing, which held special roots: mount or restore it")
        return

    def start(copies: Path) -> None:
        for name in marker.KEPT:
            (copies / SPACES / name).mkdir(parents=True)
        marker.check(copies / SPACES)

    yield from trial(statedir, (MARKER,), start)
    if not spaces.exists():
        return
    if not in_use:
        yield from _left(statedir)
    for name in marker.KEPT:
        if (spaces / name).exists():
            yield from _files(statedir, f"{SPACES}/{name}")


def _left(statedir: Path) -> Iterator[Finding]:
    for name in ("incoming", "trash", "unfinished"):
        directory = statedir / SPACES / name
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            whole = name != "incoming" and all(
                (path / part).exists() for part in ("about.json", "content")
            )
            if not whole:
                yield Finding(f"{SPACES}/{name}/{path.name}", _OF_KILLS, fault=False)


def _files(statedir: Path, below: str) -> Iterator[Finding]:
    """Check that the files of a special root can be read, and are what their names say."""
    for found in tree.walk(statedir / below, lambda path: not is_hidden(path)):
        path = f"{below}/{found.path}"
        if found.left_out:
            yield Finding(path, f"{found.left_out} is not served, nor backed up", fault=False)
        elif found.stamp is not None:
            try:
                _look_at(statedir / path, found.path)
            except FileNotFoundError:
                pass  # it was removed meanwhile
            except OSError as error:
                yield Finding(path, f"can't be read ({error.strerror}): restore it")
            except (BadUpload, SourceCorrupt) as error:
                yield Finding(path, f"{error.detail}: restore it, or remove it")
            except CatervaError as error:
                yield Finding(path, f"is not served: {error.detail}", fault=False)


def _look_at(file: Path, name: str) -> None:
    path = DatasetPath(name)
    with file.open("rb") as opened:
        head = os.pread(opened.fileno(), RECIPE_BYTES + 1, 0)
    if kind_of(path) != "file" and head.startswith(RECIPE_MAGIC):
        recipes.unpack(head)
    elif kind_of(path) != "file":
        LooseFrame(file, path, kind_of(path))


def _personal(statedir: Path, users: set[str], deleted: set[str]) -> Iterator[Finding]:
    directory = statedir / _PERSONAL
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.name in deleted:
            text = "is of a user who was deleted: the next start with accounts removes it"
            yield Finding(f"{_PERSONAL}/{path.name}", text, fault=False)
        elif path.name not in users:
            text = "is of no user: restore the accounts, or remove it"
            yield Finding(f"{_PERSONAL}/{path.name}", text)


def _cache(statedir: Path) -> Iterator[Finding]:
    directory = statedir / CACHE
    if not directory.is_dir():
        return
    report = cache.look(directory)
    remedy = "it is fetched again, or --repair forgets it now"
    for line in report.damaged:
        yield Finding(CACHE, f"{line} are damaged or cut off: {remedy}")
    for line in report.removed:
        yield Finding(f"{CACHE}/{line}", "belongs to nothing: --repair removes it", fault=False)
