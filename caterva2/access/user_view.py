"""A subscriber as its users see it."""

from __future__ import annotations

from collections.abc import Mapping

from caterva2.accounts.policy import Policy
from caterva2.errors import CatervaError, LoginNeeded, NotFound
from caterva2.model import (
    DatasetInfo,
    Entry,
    Expression,
    Health,
    PrefetchStatus,
    RootStatus,
    Upload,
    User,
)
from caterva2.names import PERSONAL, PUBLIC, SHARED, DatasetPath, Place, RootName, full_name
from caterva2.runtime.events import Listener
from caterva2.special import expressions
from caterva2.special.computed import ComputeContext, Computed
from caterva2.special.root import SpaceDataset, SpecialRoot
from caterva2.special.roots import SpecialRoots
from caterva2.special.stored import StoredExpression
from caterva2.special.writer import Writer
from caterva2.subscriber.prefetch import no_prefetch_job
from caterva2.subscriber.remote_dataset import RemoteDataset
from caterva2.subscriber.service import Subscriber

Opened = RemoteDataset | SpaceDataset | Computed
"""A dataset to be read."""


class UserViews:
    """Shows each user the roots that the user may read.

    Parameters
    ----------
    subscriber : Subscriber
        Whose published roots are shown.
    special : SpecialRoots
    policy : Policy, optional
        Who may read what. Without one there are no users, and all that is published is public.
    """

    def __init__(
        self, subscriber: Subscriber, special: SpecialRoots, policy: Policy | None = None
    ) -> None:
        self._subscriber = subscriber
        self._special = special
        self._policy = policy
        self._workshop = ComputeContext(subscriber.pool, special.incoming)
        self._of_nobody = self._view(None)

    def _view(self, user: User | None) -> UserView:
        accounts = self._policy is not None
        policy = self._policy or Policy()
        workshop = self._workshop.for_user(user.ident if user else "")
        return UserView(self._subscriber, self._special, workshop, policy, user, accounts)

    def for_user(self, user: User | None) -> UserView:
        """What a user sees; None is somebody who has not logged in."""
        return self._of_nobody if user is None else self._view(user)


class UserView:
    """The roots of a subscriber that one user may read.

    Any other is answered for as one that does not exist, in the same words.

    Parameters
    ----------
    subscriber : Subscriber
    special : SpecialRoots
    workshop : ComputeContext
    policy : Policy
    user : User or None
    accounts : bool
        Whether anybody can log in.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        special: SpecialRoots,
        workshop: ComputeContext,
        policy: Policy,
        user: User | None,
        accounts: bool,
    ) -> None:
        self._subscriber = subscriber
        self._special = special
        self._workshop = workshop
        self._policy = policy
        self._user = user
        self._accounts = accounts
        self._writer = Writer(special.incoming, self._own, self, self._new)

    def _shows(self, root: RootName) -> bool:
        return self._policy.may_read(self._user, root)

    def _check(self, root: RootName) -> None:
        if not self._shows(root):
            if root in (SHARED, PERSONAL):
                raise NotFound(f"{root} needs authentication")
            raise self._subscriber.unknown(root)

    async def _special_root(self, root: RootName) -> SpecialRoot | None:
        """The special root that is meant; None if it is a published one."""
        self._check(root)
        return await self._special.get(root, self._user) if root.is_special else None

    def _known_prefetch(self, root: RootName, below: str) -> PrefetchStatus | None:
        """That of a special root, which is here; None if the root is a published one."""
        if not self._shows(root):
            raise no_prefetch_job(full_name(root, below))
        return self._special.known(root, self._user).prefetched(below) if root.is_special else None

    def _check_user(self, doing: str) -> None:
        if self._user is None and self._accounts:
            raise LoginNeeded(f"{doing} requires authentication")

    def _published(self) -> list[RootStatus]:
        return [root for root in self._subscriber.roots() if self._shows(root.name)]

    def roots(self) -> list[RootStatus]:
        special = [name for name in (PERSONAL, PUBLIC, SHARED) if self._shows(name)]
        kept_here = [RootStatus(name, "", subscribed=True, offline=False) for name in special]
        published = [root for root in self._published() if not root.name.is_special]
        return published + kept_here

    def health(self) -> Health:
        up = sum(not root.offline for root in self._published())
        return Health(self._subscriber.health().broker, up)

    def metrics(self) -> dict[str, float]:
        shown: dict[str, float] = {"caterva2_roots": self.health().roots}
        return self._subscriber.metrics() | self._special.metrics() | shown

    async def subscribe(self, root: RootName) -> None:
        if root in (SHARED, PERSONAL) and self._user is None:
            raise LoginNeeded(f"Subscribing to {root} requires authentication")
        if await self._special_root(root) is None:
            await self._subscriber.subscribe(root)

    async def unsubscribe(self, root: RootName) -> None:
        self._check_user(f"Unsubscribing from {root}")
        if await self._special_root(root) is None:
            await self._subscriber.unsubscribe(root)

    async def entries(self, root: RootName) -> Mapping[DatasetPath, Entry]:
        special = await self._special_root(root)
        return special.entries if special else await self._subscriber.entries(root)

    async def members(
        self, root: RootName, below: str, after: str, most: int
    ) -> Mapping[DatasetPath, DatasetInfo | Opened | CatervaError]:
        special = await self._special_root(root)
        if special is None:
            return await self._subscriber.members(root, below, after, most)
        found: dict[DatasetPath, Opened | CatervaError] = {}
        for path in await special.page(below, after, most):
            try:
                found[path] = await self.dataset(root, path)
            except CatervaError as error:
                found[path] = error
        return found

    async def dataset(self, root: RootName, path: DatasetPath) -> Opened:
        found = await self._found(root, path)
        if isinstance(found, StoredExpression):
            return await expressions.opened(self._workshop, self._found, root, found)
        return found

    async def _found(
        self, root: RootName, path: DatasetPath
    ) -> RemoteDataset | SpaceDataset | StoredExpression:
        special = await self._special_root(root)
        if special is not None:
            return await special.dataset(path)
        return await self._subscriber.dataset(root, path)

    def try_dataset(self, root: RootName, path: DatasetPath) -> RemoteDataset | None:
        self._check(root)
        return None if root.is_special else self._subscriber.try_dataset(root, path)

    def listen(self, root: RootName | None) -> Listener:
        ident = self._user.ident if self._user else ""
        return self._subscriber.listen(root, self._shows, ident)

    async def prefetch(self, root: RootName, below: str) -> PrefetchStatus:
        special = await self._special_root(root)
        if special is not None:
            return special.prefetched(below)
        return await self._subscriber.prefetch(root, below)

    def prefetching(self, root: RootName, below: str) -> PrefetchStatus:
        return self._known_prefetch(root, below) or self._subscriber.prefetching(root, below)

    def cancel_prefetch(self, root: RootName, below: str) -> PrefetchStatus:
        self._check_user(f"Cancelling the prefetch of {root}")
        return self._known_prefetch(root, below) or self._subscriber.cancel_prefetch(root, below)

    # --- what the user changes ---

    async def _own(self, root: RootName) -> SpecialRoot:
        return await self._special.get(root, self._user)

    def check_writing(self, doing: str) -> None:
        if self._user is None:
            needs = f"{doing} requires authentication"
            raise LoginNeeded("Unauthorized" if self._accounts else needs)

    def _may_write(self, doing: str) -> Writer:
        self.check_writing(doing)
        return self._writer

    async def upload(self, place: Place, upload: Upload) -> str:
        return await self._may_write("Uploading").upload(place, upload)

    async def unpack(self, place: Place, upload: Upload) -> str:
        return await self._may_write("Uploading").unpack(place, upload)

    async def append(self, place: Place, upload: Upload) -> list[int]:
        return await self._may_write("Appending").append(place, upload)

    async def remove(self, place: Place) -> str:
        return await self._may_write("Removing").remove(place)

    async def move(self, source: Place, to: Place) -> str:
        return await self._may_write("Moving").move(source, to)

    async def lazyexpr(self, place: Place, asked: Expression, *, compute: bool) -> str:
        return await self._may_write("Computing").express(place, asked, compute=compute)

    async def _new(self, asked: Expression, path: DatasetPath, root: RootName | None) -> Computed:
        return await expressions.made(self._workshop, self._found, asked, path, root)

    async def copy(self, source: Place, to: Place) -> str:
        return await self._may_write("Copying").copy(source, to)
