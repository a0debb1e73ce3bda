"""The subscriber: keeps announced roots in step, and reads their datasets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Self

from caterva2.browsing.details import RootDetails
from caterva2.browsing.filling import Filling
from caterva2.cache.store import Store
from caterva2.errors import CatervaError, NotFound, RootOffline, StartError
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import DatasetInfo, Entry, PrefetchStatus, RootEvent, RootInfo, RootStatus
from caterva2.names import DatasetPath, RootName
from caterva2.reading.dataset import ReadPool
from caterva2.runtime.events import Doubts, Listener, Listeners, Shows, everything
from caterva2.runtime.metrics import NO_METRICS, Metrics
from caterva2.runtime.statedir import StateDir
from caterva2.runtime.tasks import Tasks
from caterva2.subscriber import announcements, descriptions
from caterva2.subscriber.catalog import saved as saved_catalog
from caterva2.subscriber.catalog.sync import CatalogSync
from caterva2.subscriber.changed_paths import ChangedPaths, change_events
from caterva2.subscriber.fetch.traffic import Traffic
from caterva2.subscriber.monitoring.monitor import Monitor
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.prefetch import Prefetcher
from caterva2.subscriber.prefetch_job import name_of
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.subscriber.publishers.rights import FILE as RIGHTS
from caterva2.subscriber.publishers.rights import PublishedRights
from caterva2.subscriber.publishers.watch import watch_publishers
from caterva2.subscriber.readahead import ReadAhead
from caterva2.subscriber.remote_dataset import RemoteDataset
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.subscriber.subscriptions import Subscriptions
from caterva2.wire import messages, sockets
from caterva2.wire.auth.service_keys import links_of_reader

log = logging.getLogger(__name__)
CACHE, CATALOGS = "cache", "catalogs"


class Subscriber:
    """The roots of a broker, whose datasets are read through a cache.

    Made on the running loop; `serving` starts and ends it.

    Parameters
    ----------
    options : SubscriberOptions
        Whose state directory is locked.
    context : zmq.Context
    limits : Limits
    metrics : Metrics, optional

    Attributes
    ----------
    pool, listeners, monitor : ReadPool, Listeners, Monitor
    filling : Filling
        Describes datasets for searches.
    doubts, rights : Doubts, PublishedRights
    connections, store : ConnectionPool, Store
    """

    def __init__(
        self, options: SubscriberOptions, context: sockets.Context, limits: Limits = DEFAULTS,
        metrics: Metrics = NO_METRICS,
    ) -> None:  # fmt: skip
        self._options, self._context, self._limits = options, context, limits
        statedir = options.statedir.absolute()
        try:
            self.store = Store(statedir / CACHE, options.quota, limits.cache)
            self._catalogs = statedir / CATALOGS
            self._catalogs.mkdir(exist_ok=True)
            saved_catalog.refuse_newer(self._catalogs)
            self._subscriptions = Subscriptions(statedir)
            names = self._subscriptions.read()
        except (OSError, ValueError) as error:
            raise StartError(f"statedir {options.statedir} can't be used: {error}") from None
        self.pool = ReadPool(2 + (os.cpu_count() or 1), limits.cache)
        self.listeners = Listeners(limits.subscriber)
        self.filling = Filling()
        self._tasks = Tasks()
        self._ahead = ReadAhead(self.store.quota.has_room, limits.subscriber)
        self._prefetcher = Prefetcher(self.dataset, self._describe, limits.subscriber)
        self._sync = CatalogSync(self._tasks, limits.subscriber)
        links = links_of_reader(options.keys, statedir)
        reach = links, options.located, options.preferences, options.pins
        self.connections = ConnectionPool(limits.subscriber, *reach)
        self.doubts = Doubts()
        self._changed = ChangedPaths()
        self.rights = PublishedRights(
            statedir / RIGHTS, self._report, self._ask_readers, saved_catalog.has(self._catalogs),
            self.doubts.doubt_root,
        )  # fmt: skip
        self._roots: dict[RootName, RemoteRoot] = {}
        self.monitor = Monitor(
            metrics, statedir / CACHE, self.store, self.listeners, self._roots, self.roots,
            self._queues, lambda: self._changed.count, options.broker is not None,
        )  # fmt: skip
        for name in names:
            self._roots[name] = self._open(name)
            self._roots[name].subscribed = True
        self._announced = announcements.of(
            options, context, self._moved, self._on_root_note, self.monitor.upstream_away, limits,
            self.connections,
        )  # fmt: skip
        self.monitor.broker = self._announced

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(
        cls, options: SubscriberOptions, limits: Limits = DEFAULTS, metrics: Metrics = NO_METRICS
    ) -> AsyncIterator[Self]:
        """Follow the broker, which need not be there yet, while the context is entered.

        Parameters
        ----------
        options : SubscriberOptions
        limits : Limits, optional
        metrics : Metrics, optional
            What is measured all the time is counted there; the monitor adds the rest.

        Raises
        ------
        StartError
            If the state directory can't be used.
        """
        with StateDir(options.statedir), sockets.new_context() as context:
            subscriber = cls(options, context, limits, metrics)
            try:
                subscriber._begin()
                yield subscriber
            finally:
                await subscriber._end()

    def _begin(self) -> None:
        for name in self._roots:
            self._announced.listen(name)
        self._tasks.start(self._announced.follow(), "follow the broker")
        self._tasks.start(self._changed.tidy(self._roots), "tidy")
        known = self._announced, self._roots, self.connections
        watch = watch_publishers(*known, self._judged, self._limits.broker)
        self._tasks.start(watch, "watch publishers")
        self._tasks.start(self._prefetcher.run(), "prefetch")
        self._tasks.start(self.filling.run(), "describe for searches")
        self._tasks.start(self.monitor.delay.measure(), "measure the loop's delay")
        self._tasks.start(self.rights.keep(), "keep rights")

    async def failed(self) -> None:
        """Wait for the first failure of a background task, and raise it."""
        await self._tasks.failed()

    async def _end(self) -> None:
        self.pool.stop()
        await self._tasks.stop()
        await self._ahead.stop()
        await self._announced.close()
        for root in self._roots.values():
            await root.close()
        self.store.close()

    def _open(self, name: RootName) -> RemoteRoot:
        """Make a root with what is saved of it. Blocks."""
        return RemoteRoot(
            name, self._context, self.store, self._catalogs, self._on_change, self._away,
            self.rights, self.connections, self._limits, Traffic(name, self.monitor.faults),
        )  # fmt: skip

    async def _root(self, name: RootName) -> RemoteRoot:
        if name not in self._roots:
            opened = await asyncio.to_thread(self._open, name)
            self._roots.setdefault(name, opened)
        return self._roots[name]

    # --- announcements ---

    def _on_root_note(self, note: messages.RootNote) -> None:
        root = self._roots.get(note.root)
        if root is not None and not root.note(note):
            self._sync.request(root)

    def _moved(self, names: set[RootName]) -> None:
        for name in names:
            where = self._announced.roots.get(name)
            root = self._roots.get(name)
            if root is not None and not root.move(where):
                continue
            log.info("root %s is %s", name, where.endpoints[0] if where else "offline")
            if where is not None and self.rights.announced(name, where.rights):
                self._ask_readers(name)
            self._announce(name)

    def _ask_readers(self, name: RootName) -> None:
        self._tasks.start(self._learn(name), f"ask who may read {name}")

    async def _learn(self, name: RootName) -> None:
        root = await self._root(name)
        root.move(self._announced.roots.get(name))
        self._sync.request(root)

    def _judged(self, root: RemoteRoot) -> None:
        if root.offline:
            text = f"root {root.name} is offline: its publisher does not answer"
            self.monitor.faults.note("publisher-away", text, root.name)
        self._announced.judged(root.name, offline=root.offline)
        self._announce(root.name)

    def _announce(self, name: RootName) -> None:
        self.doubts.doubt_root(name)
        self._report(name)
        root = self._roots.get(name)
        if root is not None and root.subscribed and not root.offline:
            self._sync.request(root)

    def _report(self, name: RootName) -> None:
        self.listeners.root(RootEvent.of(self._status(name)))

    def _on_change(self, name: RootName, paths: set[DatasetPath], known: bool) -> None:
        self.doubts.doubt_datasets(name, paths)
        self._changed.record(name, paths)
        if known:
            events = change_events(name, paths, self._roots[name].entries)
            self.listeners.changes(name, events, len(paths))

    # --- the web application's contract ---

    def roots(self) -> list[RootStatus]:
        return [self._status(n) for n in sorted(self._announced.roots.keys() | self._roots.keys())]

    async def details(self, name: RootName) -> RootDetails | None:
        root = self._roots.get(name)
        return await root.details(announced=self._announced.hears(name)) if root else None

    def _status(self, name: RootName) -> RootStatus:
        root, where = self._roots.get(name), self._announced.roots.get(name)
        http = where.endpoints[0].partition("://")[2] if where else ""
        offline = where is None or (root is not None and root.where is not None and root.offline)
        lease = (where.ttl_ms / 1000, where.fence) if where else (0.0, 0)
        followed, way = (root.subscribed, root.way) if root is not None else (False, None)
        return RootStatus(name, http, followed, offline, *lease, way)

    def unknown(self, name: RootName) -> CatervaError:
        """Explain why a root is unknown: before the first snapshot it may exist."""
        if self._announced.known:
            return NotFound(f"{name} not known by the broker")
        return self._away(name)

    def _away(self, name: RootName) -> RootOffline:
        """Explain why a root has no publisher: before the first snapshot it may have one."""
        if self._announced.known:
            return RootOffline(f"root {name} is offline, and this is not cached")
        return RootOffline(self._options.unreached, after_ms=2000)

    async def subscribe(self, name: RootName) -> None:
        if name not in self._announced.roots and name not in self._roots:
            raise self.unknown(name)
        root = await self._root(name)
        if root.where is None:
            root.move(self._announced.roots.get(name))
        if root.subscribed and root.known:
            return
        # The notes first, then the catalog: so none is missed in between.
        self._announced.listen(name)
        await root.subscribe()
        root.subscribed = True
        await self._save_names()

    async def unsubscribe(self, name: RootName) -> None:
        root = self._roots.get(name)
        if root is None:
            raise self.unknown(name)
        if root.subscribed:
            root.subscribed = False
            self.doubts.doubt_root(name)
            self._announced.ignore(name)
            await self._save_names()

    async def _save_names(self) -> None:
        await self._subscriptions.save(n for n, root in self._roots.items() if root.subscribed)

    async def followed(self, name: RootName) -> RemoteRoot:
        """Return a root, and subscribe to it if necessary."""
        root = self._roots.get(name)
        if root is None or not root.subscribed or not root.known:
            await self.subscribe(name)
        return self._roots[name]

    def found(self, name: RootName) -> tuple[RemoteRoot | None, RootInfo | None]:
        return self._roots.get(name), self._announced.roots.get(name)

    async def entries(self, name: RootName) -> Mapping[DatasetPath, Entry]:
        return (await self.followed(name)).entries

    async def dataset(self, name: RootName, path: DatasetPath) -> RemoteDataset:
        root = await self.followed(name)
        return await self._opened(root, await descriptions.dataset(root, path))

    async def version(self, name: RootName, path: DatasetPath, version: str) -> RemoteDataset:
        root = await self.followed(name)
        return await self._opened(root, await descriptions.version(root, path, version))

    async def generation(self, name: RootName) -> str:
        return (await self.followed(name)).generation

    async def _opened(self, root: RemoteRoot, info: DatasetInfo) -> RemoteDataset:
        return RemoteDataset(root, info, await root.cached(info), self.pool, self._ahead)

    def try_dataset(self, name: RootName, path: DatasetPath) -> RemoteDataset | None:
        """Return a dataset if it is described and open already; never block."""
        root = self._roots.get(name)
        if root is None or not root.subscribed or not root.known:
            return None
        info = root.infos.known(path)
        replica = None if info is None else root.opened(info)
        if info is None or replica is None:
            return None
        return RemoteDataset(root, info, replica, self.pool, self._ahead)

    async def group(self, name: RootName, directory: str) -> DatasetInfo | None:
        return await descriptions.directory(await self.followed(name), directory)

    async def _describe(self, name: RootName, paths: Sequence[DatasetPath]) -> None:
        await descriptions.remember(await self.followed(name), paths)

    async def prefetch(self, name: RootName, below: str, part: str) -> PrefetchStatus:
        return await self._prefetcher.start(name, below, await self.entries(name), part)

    def prefetching(self, name: RootName, below: str, part: str) -> PrefetchStatus:
        return self._prefetcher.status(name_of(name, below, part))

    def cancel_prefetch(self, name: RootName, below: str, part: str) -> PrefetchStatus:
        return self._prefetcher.cancel(name_of(name, below, part))

    def listen(self, root: RootName | None, shows: Shows = everything, ident: str = "") -> Listener:
        return self.listeners.add(root, shows, ident)

    def reserve(self, size: int) -> None:
        """Reserve bytes of the quota for what is not cached."""
        self.pool.later(lambda: self.store.reserve(size))

    def _queues(self) -> Iterator[tuple[str, int]]:
        yield "fetch", sum(root.fetcher.queued for root in self._roots.values())
        yield "prefetch", self._prefetcher.waiting
        yield "read", self.pool.waiting
