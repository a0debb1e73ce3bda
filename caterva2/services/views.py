"""A subscriber as its users see it."""

from __future__ import annotations

from collections.abc import Mapping

from caterva2.accounts.policy import Policy
from caterva2.errors import CatervaError, LoginNeeded
from caterva2.model import DatasetInfo, Entry, Health, PrefetchStatus, RootStatus, User
from caterva2.names import DatasetPath, RootName
from caterva2.services.datasets import RemoteDataset
from caterva2.services.events import Listener
from caterva2.services.prefetch import full_name, nobody_asked
from caterva2.services.subscriber import Subscriber


class Views:
    """Shows each user the roots that the user may read.

    Parameters
    ----------
    subscriber : Subscriber
        Whose published roots are shown.
    policy : Policy, optional
        Who may read what. Without one there are no users, and all that is published is public.
    """

    def __init__(self, subscriber: Subscriber, policy: Policy | None = None) -> None:
        self._subscriber = subscriber
        self._policy = policy

    def seen_by(self, user: User | None) -> Subscriber | View:
        """What a user sees; None is somebody who has not logged in."""
        if self._policy is None:
            return self._subscriber
        return View(self._subscriber, self._policy, user)


class View:
    """The roots of a subscriber that one user may read.

    Any other is answered for as one that does not exist, in the same words.
    """

    def __init__(self, subscriber: Subscriber, policy: Policy, user: User | None) -> None:
        self._subscriber = subscriber
        self._policy = policy
        self._user = user

    def _shows(self, root: RootName) -> bool:
        return self._policy.may_read(self._user, root)

    def _check(self, root: RootName) -> None:
        if not self._shows(root):
            raise self._subscriber.unknown(root)

    def _check_prefetch(self, root: RootName, below: str) -> None:
        if not self._shows(root):
            raise nobody_asked(full_name(root, below))

    def _check_user(self, doing: str) -> None:
        if self._user is None:
            raise LoginNeeded(f"{doing} requires authentication")

    def roots(self) -> list[RootStatus]:
        return [root for root in self._subscriber.roots() if self._shows(root.name)]

    def health(self) -> Health:
        up = sum(not root.offline for root in self.roots())
        return Health(self._subscriber.health().broker, up)

    def metrics(self) -> dict[str, float]:
        return self._subscriber.metrics() | {"caterva2_roots": self.health().roots}

    async def subscribe(self, root: RootName) -> None:
        self._check(root)
        await self._subscriber.subscribe(root)

    async def unsubscribe(self, root: RootName) -> None:
        self._check_user(f"Unsubscribing from {root}")
        self._check(root)
        await self._subscriber.unsubscribe(root)

    async def entries(self, root: RootName) -> Mapping[DatasetPath, Entry]:
        self._check(root)
        return await self._subscriber.entries(root)

    async def members(
        self, root: RootName, below: str, after: str, most: int
    ) -> Mapping[DatasetPath, DatasetInfo | CatervaError]:
        self._check(root)
        return await self._subscriber.members(root, below, after, most)

    async def dataset(self, root: RootName, path: DatasetPath) -> RemoteDataset:
        self._check(root)
        return await self._subscriber.dataset(root, path)

    def listen(self, root: RootName | None) -> Listener:
        return self._subscriber.listen(root, self._shows)

    async def prefetch(self, root: RootName, below: str) -> PrefetchStatus:
        self._check(root)
        return await self._subscriber.prefetch(root, below)

    def prefetching(self, root: RootName, below: str) -> PrefetchStatus:
        self._check_prefetch(root, below)
        return self._subscriber.prefetching(root, below)

    def cancel_prefetch(self, root: RootName, below: str) -> PrefetchStatus:
        self._check_user(f"Cancelling the prefetch of {root}")
        self._check_prefetch(root, below)
        return self._subscriber.cancel_prefetch(root, below)
