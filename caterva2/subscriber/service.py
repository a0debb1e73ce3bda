"""The subscriber: keeps the roots that are announced in step, and reads their datasets."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import zmq

from caterva2.cache.store import Store
from caterva2.errors import CatervaError, NotFound, RootOffline, StartError
from caterva2.model import (
    ChangeEvent,
    DatasetInfo,
    Entry,
    Health,
    PrefetchStatus,
    RootEvent,
    RootStatus,
)
from caterva2.names import DatasetPath, RootName, full_name, page
from caterva2.reading.dataset import ReadPool
from caterva2.runtime import durable
from caterva2.runtime.events import Listener, Listeners, Shows, everything
from caterva2.runtime.statedir import StateDir
from caterva2.runtime.tasks import Tasks
from caterva2.subscriber.announcement_listener import Announced
from caterva2.subscriber.prefetch import Prefetcher
from caterva2.subscriber.readahead import ReadAhead
from caterva2.subscriber.remote_dataset import RemoteDataset
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.subscriber.standalone import NullAnnouncements
from caterva2.wire import messages, sockets
from caterva2.wire.sockets import Address

log = logging.getLogger(__name__)
CACHE = "cache"
SUBSCRIBED_FILE = "subscribed.json"
TIDY_S = 2.0
STALL_TICK = 0.02
"""Seconds between two looks at how late the event loop is."""


@dataclass(frozen=True, slots=True)
class SubscriberOptions:
    """Which broker to follow, if any, where the cache is, and its bytes (0: any number)."""

    broker: Address | None
    statedir: Path
    quota: int = 0


class Subscriber:
    """Knows the roots of a broker and reads their datasets through a cache."""

    def __init__(self, options: SubscriberOptions) -> None:
        self._options = options
        self._statedir = StateDir(options.statedir)
        try:
            self._store = Store(self._statedir.path / CACHE, options.quota)
            self._catalogs = self._statedir.path / "catalogs"
            self._catalogs.mkdir(exist_ok=True)
            names = self._saved_names()
        except (OSError, ValueError) as error:
            raise StartError(f"statedir {options.statedir} can't be used: {error}") from None
        self._context: sockets.Context = zmq.Context()
        self._announced: Announced | NullAnnouncements = NullAnnouncements()
        if options.broker is not None:
            self._announced = Announced(
                self._context, options.broker, self._moved, self._on_root_note
            )
        self._roots: dict[RootName, RemoteRoot] = {}
        for name in names:
            self._roots[name] = self._open(name)
            self._roots[name].subscribed = True
        self.pool = ReadPool(2 + (os.cpu_count() or 1))
        self._ahead = ReadAhead(self._store.quota.has_room)
        self.listeners = Listeners()
        self._prefetcher = Prefetcher(self.dataset, self._describe)
        self._changes: dict[RootName, int] = {}
        self._longest_stall = 0.0

    def _saved_names(self) -> list[RootName]:
        path = self._statedir.path / SUBSCRIBED_FILE
        return [RootName(name) for name in json.loads(path.read_bytes())] if path.exists() else []

    def _open(self, name: RootName) -> RemoteRoot:
        """A root with what is known of it from before. Blocks."""
        return RemoteRoot(
            name, self._context, self._store, self._catalogs, self._on_change, self._away
        )

    async def _root(self, name: RootName) -> RemoteRoot:
        if name not in self._roots:
            opened = await asyncio.to_thread(self._open, name)
            self._roots.setdefault(name, opened)
        return self._roots[name]

    # --- life ---

    async def start(self) -> None:
        """Begin to follow the broker, which need not be there yet."""
        self._announced.start()
        for name in self._roots:
            self._announced.listen(name)
        self._stale: set[RootName] = set()
        self._syncing: set[RootName] = set()
        self._old: set[tuple[RootName, DatasetPath]] = set()
        self._tasks = Tasks()
        self._tasks.start(self._announced.follow(), "follow the broker")
        self._tasks.start(self._tidy(), "tidy")
        self._tasks.start(self._prefetcher.run(), "prefetch")
        self._tasks.start(self._measure_stalls(), "measure stalls")

    async def failed(self) -> None:
        await self._tasks.failed()

    async def stop(self) -> None:
        self.pool.stop()
        if hasattr(self, "_tasks"):
            await self._tasks.stop()
            await self._ahead.stop()
            await self._announced.close()
        for root in self._roots.values():
            await root.close()
        self._context.destroy(linger=0)
        self._store.close()
        self._statedir.close()

    # --- announcements ---

    def _on_root_note(self, note: messages.RootNote) -> None:
        root = self._roots.get(note.root)
        if root is not None and not root.note(note):
            self._want_sync(note.root)

    def _moved(self, names: set[RootName]) -> None:
        for name in names:
            where = self._announced.roots.get(name)
            log.info("root %s is %s", name, where.endpoints[0] if where else "offline")
            status = self._status(name)
            state: Literal["up", "offline"] = "offline" if status.offline else "up"
            self.listeners.root(RootEvent(name, state, status.http))
            root = self._roots.get(name)
            if root is None:
                continue
            root.move(where)
            if root.subscribed and where is not None:
                self._want_sync(name)

    def _want_sync(self, name: RootName) -> None:
        self._stale.add(name)
        if name not in self._syncing:
            self._syncing.add(name)
            self._tasks.start(self._sync(self._roots[name]), f"sync {name}")

    async def _sync(self, root: RemoteRoot) -> None:
        """Bring a catalog in step; try again for as long as its publisher is up."""
        try:
            while root.name in self._stale and not root.offline:
                self._stale.discard(root.name)  # what is missed from here on adds it again
                try:
                    await root.sync()
                except CatervaError as error:
                    log.warning("the catalog of %s: %s", root.name, error)
                    self._stale.add(root.name)
                    await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        finally:
            self._syncing.discard(root.name)

    def _on_change(self, name: RootName, paths: set[DatasetPath], known: bool) -> None:
        self._changes[name] = self._changes.get(name, 0) + len(paths)
        self._old.update((name, path) for path in paths)
        if known:
            entries = self._roots[name].entries
            events = (_change(name, path, entries.get(path)) for path in paths)
            self.listeners.changes(name, events, len(paths))

    async def _measure_stalls(self) -> None:
        """Keep the longest time that the event loop was held up, in seconds."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + STALL_TICK
            await asyncio.sleep(STALL_TICK)
            self._longest_stall = max(self._longest_stall, loop.time() - due)

    async def _tidy(self) -> None:
        """Save catalogs, and remove what is cached of versions that are no more."""
        while True:
            await asyncio.sleep(TIDY_S)
            old, self._old = self._old, set()
            if old:
                await asyncio.to_thread(self._forget, old)
            for root in list(self._roots.values()):
                await root.tidy()

    def _forget(self, old: set[tuple[RootName, DatasetPath]]) -> None:
        for name, path in old:
            try:
                self._roots[name].forget_old(path)
            except OSError as error:
                log.error("old versions of %s/%s stay: %s", name, path, error)

    # --- what the web application reads ---

    def roots(self) -> list[RootStatus]:
        names = sorted(self._announced.roots.keys() | self._roots.keys())
        return [self._status(name) for name in names]

    def _status(self, name: RootName) -> RootStatus:
        root = self._roots.get(name)
        where = self._announced.roots.get(name)
        http = where.endpoints[0].partition("://")[2] if where else ""
        return RootStatus(name, http, root is not None and root.subscribed, where is None)

    def unknown(self, name: RootName) -> CatervaError:
        """Why nothing can be said of a root; before the first snapshot that it exists or not."""
        if self._announced.told:
            return NotFound(f"{name} not known by the broker")
        return self._away(name)

    def _away(self, name: RootName) -> RootOffline:
        """Why a root has no publisher; before the first snapshot it may be there in a moment."""
        if self._announced.told:
            return RootOffline(f"root {name} is offline, and this is not cached")
        return RootOffline(f"no broker was reached yet at {self._options.broker}", after_ms=2000)

    def health(self) -> Health:
        return Health(self._announced.heard, len(self._announced.roots))

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
            self._announced.leave(name)
            await self._save_names()

    async def _save_names(self) -> None:
        names = sorted(name for name, root in self._roots.items() if root.subscribed)
        path = self._statedir.path / SUBSCRIBED_FILE
        try:
            await asyncio.to_thread(durable.write, path, json.dumps(names).encode())
        except OSError as error:
            log.error("%s can't be written: %s", path, error)

    async def entries(self, name: RootName) -> Mapping[DatasetPath, Entry]:
        root = self._roots.get(name)
        if root is None or not root.subscribed or not root.known:
            await self.subscribe(name)
        return self._roots[name].entries

    async def dataset(self, name: RootName, path: DatasetPath) -> RemoteDataset:
        await self.entries(name)
        root = self._roots[name]
        info = await root.infos.one(path)
        return RemoteDataset(root, info, await root.cached(info), self.pool, self._ahead)

    def try_dataset(self, name: RootName, path: DatasetPath) -> RemoteDataset | None:
        """The same if it is known and open already; never blocks."""
        root = self._roots.get(name)
        if root is None or not root.subscribed or not root.known:
            return None
        info = root.infos.known(path)
        replica = None if info is None else root.opened(info)
        if info is None or replica is None:
            return None
        return RemoteDataset(root, info, replica, self.pool, self._ahead)

    async def members(
        self, name: RootName, below: str, after: str, most: int
    ) -> dict[DatasetPath, DatasetInfo | CatervaError]:
        paths = list(await self.entries(name))  # as they are now
        chosen = await asyncio.to_thread(page, paths, below, after, most)
        return await self._roots[name].infos.many(chosen)

    async def _describe(self, name: RootName, paths: Sequence[DatasetPath]) -> None:
        await self.entries(name)
        await self._roots[name].infos.many(paths)

    async def prefetch(self, name: RootName, below: str) -> PrefetchStatus:
        return await self._prefetcher.start(name, below, await self.entries(name))

    def prefetching(self, name: RootName, below: str) -> PrefetchStatus:
        return self._prefetcher.status(full_name(name, below))

    def cancel_prefetch(self, name: RootName, below: str) -> PrefetchStatus:
        return self._prefetcher.cancel(full_name(name, below))

    def listen(self, root: RootName | None, shows: Shows = everything, ident: str = "") -> Listener:
        return self.listeners.add(root, shows, ident)

    def end_listening(self) -> None:
        """Tell who listens that nothing more will come: their requests end then."""
        self.listeners.end()

    def reserve(self, size: int) -> None:
        """Leave so many bytes of the quota to what is not cached."""
        self.pool.later(lambda: self._store.reserve(size))

    def metrics(self) -> dict[str, float]:
        roots = list(self._roots.values())
        return {
            "caterva2_roots": len(self._announced.roots),
            "caterva2_fetched_chunks_total": sum(root.traffic.chunks for root in roots),
            "caterva2_fetched_blocks_total": sum(root.traffic.blocks for root in roots),
            "caterva2_fetched_bytes_total": sum(root.traffic.bytes for root in roots),
            "caterva2_cache_bytes": self._store.quota.used,
            "caterva2_loop_longest_stall_seconds": round(self._longest_stall, 4),
            "caterva2_event_listeners": len(self.listeners),
            "caterva2_changes_total": sum(self._changes.values()),
        }


def _change(root: RootName, path: DatasetPath, entry: Entry | None) -> ChangeEvent:
    if entry is None:
        return ChangeEvent(root, path, "delete", "")
    return ChangeEvent(root, path, "put", entry.etag)
