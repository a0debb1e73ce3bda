"""What workers may answer, as the core judges it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from caterva2.accounts.accounts import Accounts
from caterva2.cache.replica import Replica
from caterva2.errors import CatervaError
from caterva2.limits import DEFAULTS, AccountLimits
from caterva2.model import DatasetInfo, User
from caterva2.names import DatasetPath, RootName
from caterva2.subscriber.service import Subscriber
from caterva2.workers.generations import Generations, Marks

FOREVER = 3600.0
"""Seconds for which the permission of a reader without login counts, if nothing changes."""


class Opened(Protocol):
    """A dataset that is open."""

    @property
    def info(self) -> DatasetInfo: ...

    @property
    def offline(self) -> bool: ...

    @property
    def replica(self) -> Replica | None: ...


class Opener(Protocol):
    """The datasets of one user."""

    def try_dataset(self, root: RootName, path: DatasetPath) -> Opened | None: ...


class Permissions:
    """Answer what workers ask.

    Parameters
    ----------
    view : callable
        Returns what a user may read.
    accounts : Accounts or None
    subscriber : Subscriber
    generations : Generations
    limits : AccountLimits
    """

    def __init__(
        self,
        view: Callable[[User | None], Opener],
        accounts: Accounts | None,
        subscriber: Subscriber,
        generations: Generations,
        limits: AccountLimits = DEFAULTS.accounts,
    ) -> None:
        self._view = view
        self._accounts = accounts
        self._subscriber = subscriber
        self._generations = generations

    async def judge(self, token: str, root: RootName, path: DatasetPath) -> dict[str, Any]:
        """Say whether a version may be read, and where it is."""
        if self._accounts is not None and token:
            try:
                await self._accounts.user_of(token)
            except CatervaError:
                return self.refused(root, path)
        return self._judged(token, root, path)

    def refused(self, root: RootName, path: DatasetPath) -> dict[str, Any]:
        """Leave a dataset to the core, until something changes, or for a moment."""
        return _refused(self._generations.marks(root, path))

    def _judged(self, token: str, root: RootName, path: DatasetPath) -> dict[str, Any]:
        """Judge in one go: what changes after the numbers were read makes others of them."""
        marks = self._generations.marks(root, path)
        user, seconds = None, FOREVER
        if self._accounts is not None and token:
            known = self._accounts.known(token)
            if known is None:
                return _refused(marks)
            user, seconds = known
        try:
            found = self._view(user).try_dataset(root, path)
        except CatervaError:
            return _refused(marks)
        replica = None if found is None else found.replica
        if found is None or replica is None or not replica.complete or replica.file is None:
            return _refused(marks)
        base = self._subscriber.store.base_of(root, path, found.info.etag)
        return {
            "marks": marks, "base": str(base), "etag": found.info.etag, "offline": found.offline,
            "seconds": seconds, "email": user.email if user else "",
        }  # fmt: skip


def _refused(marks: Marks) -> dict[str, Any]:
    return {"marks": marks, "base": ""}
