"""One root that a publisher somewhere serves, as this subscriber knows it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from caterva2 import limits
from caterva2.cache.readable import Ids
from caterva2.cache.replica import Replica
from caterva2.cache.store import Store
from caterva2.cache.touched_blocks import Touched
from caterva2.errors import BadMessage, CatervaError, RootOffline
from caterva2.model import DatasetInfo, Entry, RootInfo
from caterva2.names import DatasetPath, RootName
from caterva2.subscriber import catalog_pages, saved_catalog
from caterva2.subscriber.fetch.calls import Traffic
from caterva2.subscriber.fetch.fetcher import Fetcher
from caterva2.subscriber.info_cache import InfoCache
from caterva2.version import __version__
from caterva2.wire import codec, messages, sockets
from caterva2.wire.messages import DataReply, DataRequest
from caterva2.wire.requester import Requester

log = logging.getLogger(__name__)
MANY_ENTRIES = 5_000
"""Above so many, taking a catalog is work for a thread."""


class RemoteRoot:
    """Keeps a root's catalog in step with its publisher, and fetches from it.

    Making one reads the saved catalog, so it belongs into a thread.

    Parameters
    ----------
    name : RootName
    context : zmq.Context
    store : Store
        Where its replicas are.
    catalogs : Path
        Directory in which its catalog outlives the subscriber.
    on_change : callable
        Called with the paths whose version changed, and whether they were known before: else
        they come from the first catalog.
    away : callable
        Gives the error that tells why it has no publisher now.
    """

    def __init__(
        self,
        name: RootName,
        context: sockets.Context,
        store: Store,
        catalogs: Path,
        on_change: Callable[[RootName, set[DatasetPath], bool], None],
        away: Callable[[RootName], RootOffline],
    ) -> None:
        self.name = name
        self.where: RootInfo | None = None
        self.subscribed = False
        self._context = context
        self._store = store
        self._on_change = on_change
        self._away = away
        self._file = catalogs / hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        self._copy = saved_catalog.read(self._file, name)
        self._saved = self._copy.inst, self._copy.rev
        self._requester: Requester[DataReply] | None = None
        self._closing: list[Requester[DataReply]] = []
        self.infos = InfoCache(self)
        self._fetcher = Fetcher(self._connection)
        self._syncing = asyncio.Lock()

    # --- where it is ---

    def move(self, where: RootInfo | None) -> None:
        """The broker tells where the root is now, or that nobody publishes it."""
        moved = where is None or self.where is None or where.endpoints != self.where.endpoints
        if moved or where is None or self.where is None or where.inst != self.where.inst:
            self._fetcher.reset()
        self.where = where
        if moved and self._requester is not None:
            self._closing.append(self._requester)
            self._requester = None

    @property
    def offline(self) -> bool:
        return self.where is None

    @property
    def traffic(self) -> Traffic:
        """What arrived from its publishers."""
        return self._fetcher.traffic

    def _connection(self) -> Requester[DataReply]:
        if self.where is None:
            raise self._away(self.name)
        if self._requester is None or self._requester.ended:
            self._requester = Requester(
                self._context,
                self.where.endpoints[0],
                codec.data_replies,
                f"the publisher of root {self.name}",
            )
        return self._requester

    async def close(self) -> None:
        """Close all connections and save the catalog."""
        self.move(None)
        await self.tidy()

    async def tidy(self) -> None:
        """Close old connections, and save the catalog if it changed."""
        closing, self._closing = self._closing, []
        for requester in closing:
            await asyncio.to_thread(requester.close)
        self._fetcher.tidy()
        copy = self._copy
        if copy.complete and copy.even and (copy.inst, copy.rev) != self._saved:
            await self._save()

    # --- the catalog ---

    @property
    def known(self) -> bool:
        """Whether its datasets' names are known."""
        return self._copy.complete

    @property
    def entries(self) -> dict[DatasetPath, Entry]:
        """The datasets, as of the last catalog; empty before the first."""
        return self._copy.entries

    async def subscribe(self) -> None:
        """Know the datasets' names, and follow their changes from here on.

        Raises
        ------
        CatervaError
            If the names are not known and the publisher can't be asked.
        """
        in_step = self.subscribed and self.where is not None and self._copy.inst == self.where.inst
        if self._copy.complete and (in_step or self.offline):
            return
        try:
            await self.sync()
        except CatervaError as error:
            if not self._copy.complete:
                raise
            log.warning("root %s is told from what was known: %s", self.name, error)

    async def sync(self) -> None:
        """Ask the publisher for what changed since the last catalog."""
        async with self._syncing:
            connection = self._connection()
            hello = await connection.ask(
                messages.Hello(agent=f"caterva2/{__version__}"), limits.FIRST_BYTE
            )
            if not isinstance(hello, messages.PublisherHello) or hello.root != self.name:
                raise BadMessage(f"{connection.endpoint} does not publish {self.name}")
            connection.set_credit(min(hello.limits.requests, limits.CREDIT))
            self._fetcher.credit = hello.limits
            for _ in range(limits.RETRIES):
                inst = self.where.inst if self.where else ""
                pages = await catalog_pages.ask(connection, inst, self._copy.since(inst))
                known = self._copy.complete
                self._changed(await self._taken(pages), known)
                if len({page.rev for page in pages}) == 1:
                    return

    async def _taken(self, pages: list[messages.Catalog]) -> set[DatasetPath]:
        """Take the pages of a catalog without holding up the loop; the paths that changed."""
        count = sum(len(page.entries) for page in pages)
        if pages[0].full and count + len(self.entries) > MANY_ENTRIES:
            rev, taken = self._copy.rev, replace(self._copy, entries=dict(self.entries))
            changed = await asyncio.to_thread(taken.take, pages)
            if self._copy.rev == rev:  # else a change came meanwhile, and counts
                self._copy = taken
                return changed
        return self._copy.take(pages)

    def note(self, note: messages.RootNote) -> bool:
        """Take a note of the publisher; False if something was missed and `sync` is due."""
        if self.where is None or (note.inst, note.fence) != (self.where.inst, self.where.fence):
            return True
        if not self._copy.is_current(note):
            return False
        if isinstance(note, messages.Change):
            self._changed(self._copy.change(note))
        return True

    def _changed(self, paths: set[DatasetPath], known: bool = True) -> None:
        for path in paths:
            self.infos.forget(path)
        if paths:
            self._on_change(self.name, paths, known)

    def forget_old(self, path: DatasetPath) -> None:
        """Remove what is cached of versions that are no more. Blocks."""
        entry = self.entries.get(path)
        self._store.forget(self.name, path, entry.etag if entry else "")

    async def _save(self) -> None:
        # All of it is taken now: the catalog may go on while the thread writes.
        inst, rev, entries = self._copy.inst, self._copy.rev, list(self._copy.entries.values())
        try:
            await asyncio.to_thread(saved_catalog.write, self._file, inst, rev, entries)
            self._saved = inst, rev
        except OSError as error:
            log.error("%s can't be written: %s", self._file, error)

    # --- datasets ---

    async def ask(self, request: DataRequest) -> DataReply:
        """The publisher's answer; `RootOffline` if it is away."""
        return await self._connection().ask(request)

    def known_versions(self, path: DatasetPath) -> list[DatasetInfo]:
        """Descriptions of the versions that something is cached of. Blocks."""
        return self._store.known_versions(self.name, path)

    async def replica(self, info: DatasetInfo) -> Replica:
        """The replica of a version of a dataset, made where there is none."""
        return await asyncio.to_thread(self._store.replica, self.name, info)

    def opened(self, info: DatasetInfo) -> Replica | None:
        """The replica of a version of a dataset, if it is open already. Does not block."""
        return self._store.opened(self.name, info)

    async def cached(self, info: DatasetInfo) -> Replica | None:
        """The replica of a version of a dataset, if something was ever cached of it."""
        opened = self.opened(info)
        if opened is not None:
            return opened
        return await asyncio.to_thread(self._store.existing, self.name, info)

    async def ensure(self, replica: Replica, ids: Ids, wanted: Touched | None = None) -> None:
        """Have some chunks of a replica there, or of large ones the wanted blocks at least.

        Raises
        ------
        StaleVersion
            If the dataset is not that version any more; the catalog knows the new one then.
        RootOffline
            If the publisher is away and one of them is not there.
        """
        await self._fetcher.ensure(replica, ids, wanted)
