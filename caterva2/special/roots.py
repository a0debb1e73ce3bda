"""The special roots of a subscriber: @public, @shared, and one @personal for each user."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from caterva2.errors import CatervaError, NotFound, StartError
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.model import ChangeEvent, User
from caterva2.names import PERSONAL, PUBLIC, SHARED, RootName
from caterva2.reading.dataset import ReadPool
from caterva2.runtime.events import Listeners
from caterva2.runtime.metrics import Counter, Gauge, Metrics
from caterva2.runtime.printable import printable
from caterva2.runtime.tasks import Tasks
from caterva2.runtime.uncancellable import in_thread
from caterva2.sources.base import NEVER
from caterva2.sources.catalog import Step
from caterva2.sources.directory.containers import Format, Within
from caterva2.sources.directory.source import DirectorySource
from caterva2.sources.watcher import Watcher
from caterva2.special import marker
from caterva2.special.directory import SpecialDirectory
from caterva2.special.incoming import Incoming
from caterva2.special.pause import Pause
from caterva2.special.quota import SpecialQuota
from caterva2.special.root import SpecialRoot
from caterva2.special.staging import staged
from caterva2.special.trash import Trash
from caterva2.special.uploads.unfinished import UnfinishedUploads

log = logging.getLogger(__name__)
BYTES = Gauge("caterva2_special_roots_bytes", "Disk space of the special roots")
CHANGES = Counter("caterva2_special_roots_changes_total", "Changes of the special roots")
SPACES = "spaces"
"""Their directory below the state directory."""
_EXPIRY = 3600.0
"""Seconds between two looks for what has been kept for long enough."""
_INSIDE = 4
"""Threads that read what is in files: as many calls a process works on at once."""
LISTING_S = 5.0
"""Seconds of a start after which no more files are listed; those that are left follow it."""
_IDENT = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SpecialRoots:
    """The special roots below a directory, which are scanned and watched in ``async with``.

    Parameters
    ----------
    directory : Path
    quota : int
        Bytes of all files together; 0 for no limit.
    pool : ReadPool
    listeners : Listeners
        Which get the changes as events.
    on_size : callable, optional
        Called with the bytes of all files after each change.
    limits : SpecialLimits
    quotas : tuple of int
        Bytes of each user's @personal, and of @public and @shared each; 0 for no limit.
    formats : callable, optional
        Returns the formats of files below a directory of which the datasets are served too.

    Raises
    ------
    StartError
        If the directory can't be used, lacks what an earlier run had in it, or a newer version of
        this program made it.
    """

    def __init__(
        self,
        directory: Path,
        quota: int,
        pool: ReadPool,
        listeners: Listeners,
        on_size: Callable[[int], None] = lambda _: None,
        limits: SpecialLimits = DEFAULTS.special,
        quotas: tuple[int, int] = (0, 0),
        formats: Callable[[Path], Sequence[Format]] = lambda _: (),
    ) -> None:
        self.limits = limits
        self._of_user, self._of_common = quotas
        self.quota = SpecialQuota(quota)
        self._on_size = on_size
        self._pool, self._inside = pool, pool.beside(_INSIDE)
        self._listing = pool.beside(limits.listings)
        self._listeners = listeners
        self._personal = directory / "personal"
        self._changes = 0
        self._deleted_users: set[str] = set()
        self._pause = Pause(directory.parent)
        marker.check(directory)
        self._directory = directory
        self._formats = formats(directory)
        try:
            self.incoming = Incoming(directory / "incoming", self.quota, limits.uploads)
            self.unfinished = UnfinishedUploads(directory / "unfinished", self.quota, limits)
            self.trash = Trash(directory / "trash", self.quota, 86400.0 * limits.trash_days)
            self._common = {
                PUBLIC: self._open(PUBLIC, directory / "public"),
                SHARED: self._open(SHARED, directory / "shared"),
            }
            self._personal.mkdir(exist_ok=True, mode=0o700)
            owners = [path.name for path in self._personal.iterdir() if path.is_dir()]
            self._of_users = {
                owner: self._open(PERSONAL, self._personal / owner, owner)
                for owner in owners
                if _IDENT.fullmatch(owner)
            }
        except OSError as error:
            raise StartError(f"{directory} can't be used: {error}") from None
        marker.write(directory)

    def _open(self, name: RootName, directory: Path, owner: str = "") -> SpecialRoot:
        return SpecialRoot(
            name,
            SpecialDirectory(directory, self.limits, self._formats_below(directory)),
            self.incoming,
            self._pause,
            self._pool,
            self._inside,
            self._listing,
            self._on_change,
            owner,
            self.limits,
            self._of_user if owner else self._of_common,
        )

    def _formats_below(self, directory: Path) -> list[Format]:
        place = str(directory.relative_to(self._directory))
        return [Within(each, place) for each in self._formats]

    # --- life cycle ---

    async def __aenter__(self) -> Self:
        """Scan the directories and watch them for changes by other programs."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._close)
            left = await self._scan()
            self._tasks = await stack.enter_async_context(Tasks())
            self._watch()
            for root in left:
                self._tasks.start(_list(root), f"list files of {root.name}")
            self._running = stack.pop_all()
        return self

    async def _scan(self) -> list[SpecialRoot]:
        """Scan all directories; return those with files whose datasets are still to be listed."""
        until = time.monotonic() + LISTING_S
        for root in self._all():
            root.directory.source.mounts.until = until
            await root.followed.scan()
        left = [root for root in self._all() if root.directory.source.mounts.left]
        for root in self._all():
            if root not in left:
                root.directory.source.mounts.until = NEVER
        return left

    async def __aexit__(self, *_: object) -> None:
        """Stop watching and close the directories."""
        await self._running.aclose()

    def _close(self) -> None:
        for root in self._all():
            root.directory.close()
        for each in self._formats:
            each.close()

    def _watch(self) -> None:
        for root in self._common.values():
            self._tasks.start(root.followed.follow(), f"watch {root.name}")
        self._tasks.start(self._follow_personal(), f"watch {PERSONAL}")
        self._tasks.start(self._expire(), "expire trash and uploads")

    async def _expire(self) -> None:
        while True:
            await in_thread(self.trash.expire)
            await in_thread(self.unfinished.expire)
            await asyncio.sleep(_EXPIRY)

    async def _follow_personal(self) -> None:
        """Follow the roots of all users with one watch of their parent directory."""
        async with Watcher(DirectorySource(self._personal)) as watcher:
            await watcher.follow(self._scan_personal)

    async def _scan_personal(self, scope: str) -> None:
        owner, _, below = scope.partition("/")
        for root in [self._of_users.get(owner)] if owner else list(self._of_users.values()):
            if root is not None:
                await root.followed.scan(below)

    async def failed(self) -> None:
        """Wait for a failure and raise it."""
        await self._tasks.failed()

    def _all(self) -> list[SpecialRoot]:
        return [*self._common.values(), *self._of_users.values()]

    def _on_change(self, root: SpecialRoot, steps: list[Step], grown: int) -> None:
        self.quota.add_stored(grown)
        self._on_size(self.quota.used)
        self._changes += len(steps)
        events = (
            ChangeEvent(root.name, step.path, "put", step.entry.etag)
            if step.entry
            else ChangeEvent(root.name, step.path, "delete", "")
            for step in steps
        )
        self._listeners.changes(root.name, events, len(steps), root.owner)

    # --- lookup ---

    def known(self, name: RootName, user: User | None) -> SpecialRoot:
        """Return a user's special root of a name.

        Raises
        ------
        NotFound
            If it is not the name of a special root, or if @personal is not available without
            login, or is still empty.
        """
        if name == PERSONAL and user is None:
            raise NotFound(f"{name} needs authentication")
        ident = user.ident if user is not None else ""
        found = self._of_users.get(ident) if name == PERSONAL else self._common.get(name)
        if found is None:
            raise NotFound(f"{name} does not exist")
        return found

    async def get(self, name: RootName, user: User | None) -> SpecialRoot:
        """Return a user's special root of a name; the user's @personal is created on demand.

        Raises
        ------
        NotFound
        """
        if name == PERSONAL and user is not None and user.ident not in self._of_users:
            if not _IDENT.fullmatch(user.ident) or user.ident in self._deleted_users:
                raise NotFound(f"{name} is not available to this user")
            directory = self._personal / user.ident
            made = await in_thread(lambda: self._open(PERSONAL, directory, user.ident))
            if user.ident in self._deleted_users:  # meanwhile
                with contextlib.suppress(OSError):
                    await in_thread(made.directory.path.rmdir)
                raise NotFound(f"{name} is not available to this user")
            self._of_users.setdefault(user.ident, made)
        return self.known(name, user)

    async def forget(self, user: User) -> None:
        """Remove the @personal root of a deleted user, and what the user did not finish."""
        self._deleted_users.add(user.ident)
        for upload in await in_thread(lambda: self.unfinished.of(user.ident)):
            await in_thread(functools.partial(self.unfinished.drop, upload))
        for item in await in_thread(lambda: self.trash.items(lambda one: one.owner == user.ident)):
            await in_thread(functools.partial(self.trash.drop, item))
        root = self._of_users.pop(user.ident, None)
        if root is None:
            return
        async with contextlib.AsyncExitStack() as held:
            removed = await held.enter_async_context(staged(self.incoming, tree=True))
            await held.enter_async_context(self._pause.none())
            await held.enter_async_context(root.changing)
            await in_thread(lambda: root.directory.take("", removed.path))
            await root.followed.scan_held()
            with contextlib.suppress(OSError):  # while it is locked: nothing is put into it again
                await in_thread(root.directory.path.rmdir)

    def report(self, metrics: Metrics) -> None:
        """Report what is measured when it is asked for."""
        metrics.set(BYTES, self.quota.used)
        metrics.inc(CHANGES, self._changes)


async def _list(root: SpecialRoot) -> None:
    """List files that are left one by one: a change of the root waits for one of them at most."""
    mounts = root.directory.source.mounts
    while True:
        async with root.changing:
            late, mounts.until = mounts.until, NEVER
            if not mounts.left:
                return
            path = mounts.left.pop()
            try:
                await root.followed.scan_held(path)
            except (CatervaError, OSError) as error:
                log.warning("%s", printable(f"{root.name}/{path} can't be listed: {error}"))
            finally:
                mounts.until = late
