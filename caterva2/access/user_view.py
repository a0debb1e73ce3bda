"""A subscriber with the rights of one user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from caterva2.access.browsing import Described, Opened, RootBrowser
from caterva2.access.editing import UserEditor
from caterva2.access.exchange import Exchange
from caterva2.access.prefetches import Prefetches
from caterva2.accounts.policy import ReadRights
from caterva2.arrays import selection
from caterva2.browsing.details import RootDetails
from caterva2.errors import BadRequest, CatervaError, Gone, LoginNeeded, NotFound
from caterva2.model import (
    DatasetInfo,
    Entry,
    Expression,
    Health,
    PrefetchStatus,
    RootStatus,
    User,
)
from caterva2.names import PERSONAL, PUBLIC, SHARED, DatasetPath, RootName, full_name
from caterva2.rest.service import Status
from caterva2.runtime.events import Listener
from caterva2.runtime.metrics import Metrics
from caterva2.special.computed import computation, expressions
from caterva2.special.computed.computation import Computation
from caterva2.special.computed.context import ComputeContext
from caterva2.special.computed.dataset import ComputedDataset
from caterva2.special.root import SpecialDataset, SpecialRoot
from caterva2.special.roots import SpecialRoots
from caterva2.special.stored import StoredExpression
from caterva2.special.targets import Targets
from caterva2.special.uploads.resuming import Resuming
from caterva2.special.writer import Writer
from caterva2.subscriber.info_cache import OnFound, leave
from caterva2.subscriber.prefetch import no_prefetch_job
from caterva2.subscriber.remote_dataset import RemoteDataset
from caterva2.subscriber.service import Subscriber


class UserView(UserEditor):
    """A subscriber with the rights of one user.

    A root that the user may not read is treated, and reported in errors, like one that does not
    exist.

    Parameters
    ----------
    subscriber : Subscriber
    special : SpecialRoots
    context : ComputeContext
    policy : ReadRights
    user : User or None
    accounts : bool
        Whether the subscriber has accounts.
    prefetches : Prefetches
        Those of readers without login.
    exchange : Exchange
        Answers subscribers that act for the user.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        special: SpecialRoots,
        context: ComputeContext,
        policy: ReadRights,
        user: User | None,
        accounts: bool,
        prefetches: Prefetches,
        exchange: Exchange,
    ) -> None:
        self._subscriber = subscriber
        self._special = special
        self._context = context
        owner, targets = user.ident if user else "", Targets(self._own_root)
        writer = Writer(
            special.incoming, targets, self, self._new_expression, special.trash, owner,
            special.limits,
        )  # fmt: skip
        given = special.unfinished, special.incoming, targets, owner, self._may_read
        self._prefetches = prefetches
        self._exchange = exchange
        super().__init__(writer, Resuming(*given, special.limits), user, accounts, policy)

    def _may_read(self, root: RootName) -> bool:
        return self._policy.may_read(self.user, root)

    def _check(self, root: RootName) -> None:
        if not self._may_read(root):
            if root in (SHARED, PERSONAL):
                raise NotFound(f"{root} needs authentication")
            raise self._subscriber.unknown(root)

    async def _special_root(self, root: RootName) -> SpecialRoot | None:
        """Return the special root of a name; None for the name of a published root."""
        self._check(root)
        return await self._special.get(root, self.user) if root.is_special else None

    def _special_prefetch(self, root: RootName, below: str, part: str) -> PrefetchStatus | None:
        """Return the prefetch status of a special root; None for a published root."""
        if not self._may_read(root):
            raise no_prefetch_job(full_name(root, below))
        if not root.is_special:
            return None
        found = self._special.known(root, self.user)
        if part and below not in found.entries:
            raise no_prefetch_job(full_name(root, below))
        return replace(found.prefetched(below), slice_=part)

    def _check_user(self, doing: str) -> None:
        if self.user is None and self._accounts:
            raise LoginNeeded(f"{doing} requires authentication")
        self._check_scope()

    def _published(self) -> list[RootStatus]:
        return [root for root in self._subscriber.roots() if self._may_read(root.name)]

    # --- roots ---

    def roots(self) -> list[RootStatus]:
        """List the roots: published ones, then special ones."""
        names = [name for name in (PERSONAL, PUBLIC, SHARED) if self._may_read(name)]
        special = [RootStatus(name, "", subscribed=True, offline=False) for name in names]
        published = [root for root in self._published() if not root.name.is_special]
        return published + special

    async def details(self, root: RootName) -> RootDetails | None:
        """Return what is known of a root as a whole; None before its first catalog."""
        special = await self._special_root(root)
        return await (special.details() if special else self._subscriber.details(root))

    def health(self) -> Health:
        """Whether the broker is reached, and how many roots are online."""
        known = self._subscriber.monitor.health()
        return Health(known.broker, sum(not root.offline for root in self._published()))

    def quota(self) -> tuple[int, int] | None:
        """Return the bytes of special roots and the most, 0 for no bound; None without a user."""
        quota = self._special.quota
        return None if self.user is None else (quota.used, quota.max_bytes)

    def check_watching(self) -> None:
        """Raise `LoginNeeded` unless the user may see what the whole service does."""
        if self._accounts and not self._policy.may_watch(self.user):
            raise LoginNeeded("Unauthorized: only superusers may")

    def shows_metrics(self, root: str) -> bool:
        """Whether metrics are shown of a root: without accounts of those that all may read."""
        return self._accounts or self._may_read(RootName(root))

    async def status(self) -> Status:
        """Return the status of the service, as far as the user may see it."""
        watches = not self._accounts or self._policy.may_watch(self.user)
        return await self._subscriber.monitor.status(self._may_read, watches)

    def answered(self, error: CatervaError) -> None:
        """Note an error that the user is answered with."""
        self._subscriber.monitor.answered(error, self.user.email if self.user else "")

    async def report(self, metrics: Metrics) -> None:
        """Report what is measured when it is asked for."""
        await self._subscriber.monitor.report(metrics)
        self._special.report(metrics)

    async def unready(self) -> str:
        """Return why the subscriber can't serve; empty if it can."""
        return await self._subscriber.monitor.unready()

    async def subscribe(self, root: RootName) -> None:
        """Subscribe to a root."""
        if root in (SHARED, PERSONAL) and self.user is None:
            raise LoginNeeded(f"Subscribing to {root} requires authentication")
        if await self._special_root(root) is None:
            await self._subscriber.subscribe(root)

    async def unsubscribe(self, root: RootName) -> None:
        """Unsubscribe from a root."""
        self._check_user(f"Unsubscribing from {root}")
        if await self._special_root(root) is None:
            await self._subscriber.unsubscribe(root)

    async def entries(self, root: RootName) -> Mapping[DatasetPath, Entry]:
        """Return the datasets of a root by their paths."""
        special = await self._special_root(root)
        return special.entries if special else await self._subscriber.entries(root)

    async def generation(self, root: RootName) -> str:
        """Return the name of a root's catalog as it is now."""
        special = await self._special_root(root)
        return special.generation if special else await self._subscriber.generation(root)

    async def group(self, root: RootName, directory: str) -> DatasetInfo | None:
        """Describe a directory, or a root; None if it has no attributes."""
        special = await self._special_root(root)
        return None if special else await self._subscriber.group(root, directory)

    async def members(
        self,
        root: RootName,
        below: str,
        after: str,
        max_members: int,
        on_found: OnFound = leave,
    ) -> Described:
        """Describe the first datasets below a directory that follow a path, sorted."""
        return await (await self.browse(root)).members(below, after, max_members, on_found)

    async def browse(self, root: RootName) -> RootBrowser:
        """Return a root to be browsed, subscribing to it if necessary."""
        content = await self._special_root(root) or await self._subscriber.followed(root)
        return RootBrowser(root, content, self.dataset, self._subscriber.filling)

    # --- datasets ---

    async def dataset(self, root: RootName, path: DatasetPath) -> Opened:
        """Open the current version of a dataset."""
        found = await self._find(root, path)
        if isinstance(found, StoredExpression):
            return await expressions.open_stored(self._context, self._find, root, found)
        return found

    async def computation(self, asked: Expression) -> Computation:
        """Open the result of an expression over datasets that the user may read."""
        return await computation.compute(self._context, self._find, asked)

    async def _find(
        self, root: RootName, path: DatasetPath
    ) -> RemoteDataset | SpecialDataset | StoredExpression:
        special = await self._special_root(root)
        if special is not None:
            return await special.dataset(path)
        return await self._subscriber.dataset(root, path)

    async def version(self, root: RootName, path: DatasetPath, version: str) -> Opened:
        """Open a version of a dataset by its etag, or by a generation of its root."""
        special = await self._special_root(root)
        if special is None:
            return await self._subscriber.version(root, path, version)
        found = await self.dataset(root, path)
        if found.info.etag != version and not special.holds(version, path):
            raise Gone(f"{root}/{path} has no version {version} any more: open it anew")
        return found

    def try_dataset(self, root: RootName, path: DatasetPath) -> RemoteDataset | None:
        """Open the current version of a dataset if that needs no I/O; else None."""
        self._check(root)
        return None if root.is_special else self._subscriber.try_dataset(root, path)

    # --- events and prefetches ---

    def listen(self, root: RootName | None) -> Listener:
        """Listen to the events of a root, or of all roots."""
        ident = self.user.ident if self.user else ""
        return self._subscriber.listen(root, self._may_read, ident)

    async def prefetch(self, root: RootName, below: str, part: str = "") -> PrefetchStatus:
        """Start to prefetch a dataset or a part of it, a directory, or for no path a root."""
        special = await self._special_root(root)
        if special is not None:
            status = special.prefetched(below)
            if part:
                await self._check_part(root, below, part)
            return replace(status, slice_=part)
        if self.user is None and self._accounts:
            self._prefetches.check(self._subscriber, (root, below, part))
        return await self._subscriber.prefetch(root, below, part)

    async def _check_part(self, root: RootName, below: str, part: str) -> None:
        """Raise `BadRequest` or `BadSelection` if there is no such part of a dataset."""
        if below not in await self.entries(root):
            raise BadRequest(f"{full_name(root, below)} is no dataset: it has no slices")
        shape = (await self.dataset(root, DatasetPath(below))).info.shape
        await asyncio.to_thread(selection.parse, part, shape)

    def prefetching(self, root: RootName, below: str, part: str = "") -> PrefetchStatus:
        """Return the status of a prefetch."""
        known = self._special_prefetch(root, below, part)
        return known or self._subscriber.prefetching(root, below, part)

    def cancel_prefetch(self, root: RootName, below: str, part: str = "") -> PrefetchStatus:
        """Cancel a prefetch."""
        self._check_user(f"Cancelling the prefetch of {root}")
        known = self._special_prefetch(root, below, part)
        return known or self._subscriber.cancel_prefetch(root, below, part)

    # --- other subscribers ---

    def hellos(self) -> AsyncIterator[bytes]:
        """Describe all roots to a subscriber that takes them."""
        return self._exchange.hellos()

    async def exchange(self, root: RootName, request: bytes, share: str) -> AsyncIterator[bytes]:
        """Begin to answer a request of such a subscriber."""
        self._check(root)
        return await self._exchange.answer(root, request, share)

    # --- changes ---

    async def _own_root(self, root: RootName) -> SpecialRoot:
        self._check(root)
        return await self._special.get(root, self.user)

    async def _new_expression(
        self, given: Expression, path: DatasetPath, root: RootName | None
    ) -> ComputedDataset:
        return await expressions.new(self._context, self._find, given, path, root)
