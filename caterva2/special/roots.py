"""The special roots of a subscriber: one for everybody, one for its users, one for each user."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from pathlib import Path

from caterva2.errors import NotFound, StartError
from caterva2.model import ChangeEvent, User
from caterva2.names import PERSONAL, PUBLIC, SHARED, RootName
from caterva2.reading.dataset import ReadPool
from caterva2.runtime.events import Listeners
from caterva2.runtime.tasks import Tasks
from caterva2.runtime.uncancellable import in_thread
from caterva2.sources.base import ALL
from caterva2.sources.catalog import Step
from caterva2.sources.directory.source import DirectorySource
from caterva2.sources.watcher import Watcher
from caterva2.special.directory import LOOK_MS, Space
from caterva2.special.incoming import Incoming
from caterva2.special.quota import SpaceQuota
from caterva2.special.root import SpecialRoot
from caterva2.special.staging import staged

log = logging.getLogger(__name__)
SPACES = "spaces"
_IDENT = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SpecialRoots:
    """Keeps the special roots below a directory.

    Parameters
    ----------
    directory : Path
    quota : int
        Bytes that all of them together may take; 0 is without a limit.
    pool : ReadPool
    listeners : Listeners
        Who is told what changes.
    on_size : callable, optional
        Told how many bytes they take.

    Raises
    ------
    StartError
        If the directory can't be used.
    """

    def __init__(
        self,
        directory: Path,
        quota: int,
        pool: ReadPool,
        listeners: Listeners,
        on_size: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.allowance = SpaceQuota(quota)
        self._on_size = on_size
        self._pool = pool
        self._listeners = listeners
        self._personal = directory / "personal"
        self._changes = 0
        self._forgotten: set[str] = set()
        try:
            self.incoming = Incoming(directory / "incoming", self.allowance)
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

    def _open(self, name: RootName, directory: Path, owner: str = "") -> SpecialRoot:
        return SpecialRoot(name, Space(directory), self.incoming, self._pool, self._changed, owner)

    # --- life ---

    async def start(self) -> None:
        """Know what is there, and see what others change in the directories."""
        for root in self._all():
            await root.look()
        self._tasks = Tasks()
        for root in self._common.values():
            self._tasks.start(root.followed.follow(), f"watch {root.name}")
        self._tasks.start(self._follow_personal(), f"watch {PERSONAL}")

    async def _follow_personal(self) -> None:
        """Follow the roots of all users by one watch of the directory that holds them."""
        async with Watcher(DirectorySource(self._personal, look_ms=LOOK_MS)) as watcher:
            await watcher.follow(self._look_at_personal)

    async def _look_at_personal(self, scope: str) -> None:
        owner, _, below = scope.partition("/")
        for root in [self._of_users.get(owner)] if owner else list(self._of_users.values()):
            if root is not None:
                await root.look(below)

    async def failed(self) -> None:
        await self._tasks.failed()

    async def stop(self) -> None:
        if hasattr(self, "_tasks"):
            await self._tasks.stop()
        for root in self._all():
            root.space.close()

    def _all(self) -> list[SpecialRoot]:
        return [*self._common.values(), *self._of_users.values()]

    def _changed(self, root: SpecialRoot, steps: list[Step], grown: int) -> None:
        self.allowance.stored(grown)
        self._on_size(self.allowance.used)
        self._changes += len(steps)
        events = (
            ChangeEvent(root.name, step.path, "put", step.entry.etag)
            if step.entry
            else ChangeEvent(root.name, step.path, "delete", "")
            for step in steps
        )
        self._listeners.changes(root.name, events, len(steps), root.owner)

    # --- what there is ---

    def known(self, name: RootName, user: User | None) -> SpecialRoot:
        """The root that a user means by a name.

        Raises
        ------
        NotFound
            If there is none of this name, or none for nobody, or nothing in it yet.
        """
        if name == PERSONAL and user is None:
            raise NotFound(f"{name} needs authentication")
        ident = user.ident if user is not None else ""
        found = self._of_users.get(ident) if name == PERSONAL else self._common.get(name)
        if found is None:
            raise NotFound(f"{name} does not exist")
        return found

    async def get(self, name: RootName, user: User | None) -> SpecialRoot:
        """The same; a user's own root is made where there is none."""
        if name == PERSONAL and user is not None and user.ident not in self._of_users:
            if not _IDENT.fullmatch(user.ident) or user.ident in self._forgotten:
                raise NotFound(f"{name} can't be had by this user")
            directory = self._personal / user.ident
            made = await asyncio.to_thread(self._open, PERSONAL, directory, user.ident)
            self._of_users.setdefault(user.ident, made)
        return self.known(name, user)

    async def forget(self, user: User) -> None:
        """Remove the own root of a user who was deleted."""
        self._forgotten.add(user.ident)
        root = self._of_users.get(user.ident)
        if root is None:
            return
        async with staged(self.incoming, tree=True) as gone, root.changing:
            await in_thread(lambda: root.space.take("", gone.path))
            await root.look_again(ALL)
        del self._of_users[user.ident]
        with contextlib.suppress(OSError):
            await in_thread(root.space.directory.rmdir)

    def metrics(self) -> dict[str, float]:
        return {
            "caterva2_special_roots_bytes": self.allowance.used,
            "caterva2_special_roots_changes_total": self._changes,
        }
