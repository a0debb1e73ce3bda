"""A root of a publisher: its catalog, kept in step, and what is fetched of its datasets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from caterva2.browsing.details import RootDetails
from caterva2.browsing.followed import FollowedIndex
from caterva2.browsing.index import Index
from caterva2.cache.readable import Ids
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.cache.touched_blocks import Touched
from caterva2.errors import CatervaError, RootOffline, SourceCorrupt
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import DatasetInfo, Entry, RootInfo, Way
from caterva2.names import DatasetPath, RootName
from caterva2.signing.checks import Checks
from caterva2.subscriber.catalog.followed import FollowedCatalog
from caterva2.subscriber.fetch.fetcher import Fetcher
from caterva2.subscriber.fetch.traffic import Traffic
from caterva2.subscriber.info_cache import InfoCache
from caterva2.subscriber.publishers import way
from caterva2.subscriber.publishers.choice import Behind
from caterva2.subscriber.publishers.connection import PublisherConnection
from caterva2.subscriber.publishers.places import PUBLISHER
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.subscriber.publishers.providers import Providers
from caterva2.subscriber.publishers.rights import PublishedRights
from caterva2.subscriber.trust.root_trust import RootTrust
from caterva2.wire import messages, sockets
from caterva2.wire.calls import AsksFor
from caterva2.wire.messages import DataReply, DataRequest

log = logging.getLogger(__name__)


class RemoteRoot:
    """Keep a root's catalog in step with its publisher, and fetch from it.

    Making one reads the saved catalog, so it belongs in a thread.

    Parameters
    ----------
    name : RootName
    context : zmq.Context
    store : Store
        Where its replicas are.
    catalogs : Path
        Directory in which its catalog outlives the subscriber.
    on_change : callable
        Called with the paths whose version changed, and whether the catalog was known.
    away : callable
        Makes the error that explains why the root has no publisher now.
    rights : PublishedRights
    pool : ConnectionPool, optional
    limits : Limits
    traffic : Traffic, optional

    Attributes
    ----------
    providers : Providers
    infos : InfoCache
    catalog : FollowedCatalog
    trust : RootTrust
    """

    def __init__(
        self,
        name: RootName,
        context: sockets.Context,
        store: Store,
        catalogs: Path,
        on_change: Callable[[RootName, set[DatasetPath], bool], None],
        away: Callable[[RootName], RootOffline],
        rights: PublishedRights,
        pool: ConnectionPool | None = None,
        limits: Limits = DEFAULTS,
        traffic: Traffic | None = None,
    ) -> None:
        self.name = name
        self.subscribed = False
        self.limits = limits
        self._store = store
        self._on_change = on_change
        pool = pool or ConnectionPool(limits.subscriber)

        def connect(provider: str) -> PublisherConnection:
            given = name, context, away, pool, limits.wire
            if provider == PUBLISHER:
                made = PublisherConnection(*given, rights.heard)
            else:
                made = PublisherConnection(*given, title=f"mirror {provider}")
            made.signed = lambda request: self.trust.wants(provider, request)
            return made

        self.providers = Providers(name, connect, pool, away, self._awaited, self._switched)
        self.trust = RootTrust(
            name, pool.pins, self.providers.is_mirror, lambda: bool(pool.mirror_of(name))
        )
        self.infos = InfoCache(self, limits.subscriber, self.trust.may_pass_on)
        self._fetcher = Fetcher(
            self.providers, limits, traffic, self.providers.again, self._checks_of
        )
        self.catalog = FollowedCatalog(
            name, catalogs, self.providers, rights, self._fetcher.allow, self._changed, self.trust,
            limits,
        )  # fmt: skip

    # --- where it is ---

    def move(self, where: RootInfo | None) -> bool:
        """Follow the root to other providers, or note that it has none now.

        Return whether more has changed than mirrors that it is not taken from.
        """
        before = self.where
        moved = self.providers.move(where)
        if moved:
            self._fetcher.reset()
        return moved or _without_mirrors(before) != _without_mirrors(where)

    def _checks_of(self, asked: AsksFor[DataReply]) -> Checks | None:
        name = self.providers.name_of(asked)
        return self.trust.checks(PUBLISHER if name is None else name)

    def _awaited(self) -> int:
        return self._fetcher.awaited

    def _switched(self) -> None:
        self._fetcher.reset()

    @property
    def where(self) -> RootInfo | None:
        """The publisher as the broker announced it."""
        return self.providers.where

    @property
    def offline(self) -> bool:
        """Whether it has no publisher, or none that can be reached."""
        return self.providers.offline

    @property
    def traffic(self) -> Traffic:
        """Counts of what its publishers sent."""
        return self._fetcher.traffic

    @property
    def fetcher(self) -> Fetcher:
        """What fetches from its publishers."""
        return self._fetcher

    @property
    def heard(self) -> float | None:
        """When its publisher was last heard, in seconds since 1970."""
        return self.catalog.heard

    @property
    def revision(self) -> int:
        """Revision of the last catalog; -1 before the first."""
        return self.catalog.revision

    async def close(self) -> None:
        """Close all connections and save the catalog."""
        await self.providers.close()
        await self.tidy()

    async def tidy(self) -> None:
        """Close old connections, and save the catalog if it changed."""
        await self.providers.tidy()
        self._fetcher.tidy()
        await self.catalog.keep()

    # --- the catalog ---

    @property
    def known(self) -> bool:
        """Whether its datasets' names are known."""
        return self.catalog.known

    @property
    def entries(self) -> dict[DatasetPath, Entry]:
        """The datasets, as of the last catalog; empty before the first."""
        return self.catalog.entries

    @property
    def groups(self) -> dict[DatasetPath, Entry]:
        """The descriptions of its directories, by their own paths, as of the last catalog."""
        return self.catalog.groups

    @property
    def browsed(self) -> FollowedIndex:
        """The index of its catalog, and what is known of its datasets for searches."""
        return self.catalog.browsed

    async def index(self) -> Index:
        """Return the index of the catalog as it is now."""
        return await self.catalog.index()

    async def details(self, *, announced: bool) -> RootDetails | None:
        """Return what is known of it as a whole; None before its first catalog.

        ``announced`` says whether a broker is heard.
        """
        if not self.known:
            return None
        index, catalog = await self.index(), self.catalog
        in_step = self.subscribed and announced and catalog.even and catalog.of_this_run
        cached = await self._store.tally.of(self.name, index.paths)
        state: Literal["live", "stale", "offline"] = "live" if in_step else "stale"
        if self.offline:
            state = "offline"
        return RootDetails(index.datasets, index.size, cached, state, self.heard, self.way)

    @property
    def way(self) -> Way:
        """How its data comes here."""
        return way.of(self.providers, self.heard)

    def entry(self, path: DatasetPath) -> Entry | None:
        """Return the dataset or group of a path, as of the last catalog."""
        return self.catalog.entry(path)

    async def subscribe(self) -> None:
        """Make sure that the datasets are known, and follow their changes from here on.

        Raises
        ------
        CatervaError
            If they are not known and the publisher can't be asked.
        """
        in_step = self.subscribed and self.catalog.of_this_run
        if self.known and (in_step or self.offline):
            return
        try:
            await self.sync()
        except CatervaError as error:
            if not self.known:
                raise
            log.warning("root %s is served from its saved catalog: %s", self.name, error)

    async def sync(self) -> None:
        """Request what changed since the last catalog from the publisher."""
        await self.catalog.sync()

    async def keep_up(self) -> None:
        """Ask the publisher who may read the root, and what changed of a catalog that is known."""
        await self.catalog.keep_up(catalog=self.known or self.subscribed)

    def note(self, note: messages.RootNote) -> bool:
        """Apply a note of the publisher; return False if some were missed and `sync` is due."""
        return self.catalog.note(note)

    @property
    def generation(self) -> str:
        """Name of the catalog as it is now."""
        return self.catalog.generation

    def holds(self, generation: str, path: DatasetPath) -> bool:
        """Return whether a dataset has the version that it had in a generation of the catalog."""
        return self.catalog.holds(generation, path)

    def _changed(self, paths: set[DatasetPath], known: bool) -> None:
        for path in paths:
            self.infos.forget(path)
        self._on_change(self.name, paths, known)

    def forget_old(self, path: DatasetPath) -> None:
        """Remove what is cached of old versions of a dataset, and is of no use. Blocks."""
        entry = self.entry(path)
        self._store.forget(self.name, path, entry.etag if entry else "")

    # --- datasets ---

    async def ask(self, request: DataRequest) -> DataReply:
        """Return the publisher's answer; `RootOffline` if it is away."""
        try:
            return await self.providers.ask(request, self._check)
        except SourceCorrupt as error:
            self.traffic.failed(error)
            raise

    async def _check(self, provider: str, reply: DataReply) -> None:
        """Refuse descriptions that the origin did not sign, or that are not of the catalog.

        Those of a publisher itself may be of newer versions.
        """
        infos: Sequence[DatasetInfo] = ()
        if isinstance(reply, messages.Info | messages.Infos):
            infos = [reply] if isinstance(reply, messages.Info) else reply.infos
        await self.trust.check(provider, infos)
        if not self.providers.is_mirror(provider):
            return
        for again in (True, False):
            odd = [info.path for info in infos if not self._is_newest(info)]
            if not odd:
                return
            if again:
                await self.sync()
        raise Behind(f"it describes another version of {odd[0]} than the catalog has", after_ms=100)

    def known_versions(self, path: DatasetPath) -> list[DatasetInfo]:
        """Read the descriptions of the cached versions of a dataset. Blocks."""
        return self._store.known_versions(self.name, path)

    async def keep_descriptions(self, infos: Iterable[DatasetInfo]) -> None:
        """Keep the descriptions of groups for when the publisher is away."""
        new = [info for info in infos if not self._store.keeps_description(self.name, info)]
        if new:
            await asyncio.to_thread(self._keep, new)

    def _keep(self, infos: Iterable[DatasetInfo]) -> None:
        for info in infos:
            self._store.keep_description(self.name, info)

    async def replica(self, info: DatasetInfo) -> Replica:
        """Open the replica of a version of a dataset, or make a new one."""
        return await asyncio.to_thread(
            self._store.replica, self.name, info, newest=self._is_newest(info)
        )

    def _is_newest(self, info: DatasetInfo) -> bool:
        entry = self.entry(info.path)
        return entry is not None and entry.etag == info.etag

    def opened(self, info: DatasetInfo) -> Replica | None:
        """Return the replica of a version of a dataset if it is open, without blocking."""
        return self._store.opened(self.name, info)

    async def cached(self, info: DatasetInfo) -> Replica | None:
        """Open the replica of a version of a dataset, None if nothing was ever cached of it."""
        opened = self.opened(info)
        if opened is not None:
            return opened
        return await asyncio.to_thread(
            self._store.existing, self.name, info, newest=self._is_newest(info)
        )

    async def ensure(self, replica: Replica, ids: Ids, requested: Touched | None = None) -> None:
        """Wait until some chunks of a replica are there, see `Fetcher.ensure`."""
        self.providers.expect(replica.info.chunksize)
        await self._fetcher.ensure(replica, ids, requested)


def _without_mirrors(where: RootInfo | None) -> RootInfo | None:
    return where and where.model_copy(update={"mirrors": ()})
