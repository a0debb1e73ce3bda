"""The catalog of a published root, kept in step with its publisher."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from caterva2.browsing.followed import FollowedIndex
from caterva2.browsing.index import Index
from caterva2.errors import BadMessage, Busy
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import Entry
from caterva2.names import DatasetPath, RootName
from caterva2.sources.catalog import Generations
from caterva2.subscriber.catalog import pages as catalog_pages
from caterva2.subscriber.catalog.saved import CatalogFile
from caterva2.subscriber.catalog.serving import CatalogPages
from caterva2.subscriber.publishers.connection import HELLO, PublisherConnection
from caterva2.subscriber.publishers.rights import PublishedRights
from caterva2.wire import messages
from caterva2.wire.messages import Credit, DataReply
from caterva2.wire.requester import Requester

log = logging.getLogger(__name__)
MANY_ENTRIES = 5_000
"""Entries above which applying a catalog is work for a thread."""


class FollowedCatalog:
    """A copy of a root's catalog that is requested from its publisher, and follows its notes.

    Making one reads the saved catalog, so it belongs in a thread.

    Parameters
    ----------
    name : RootName
    directory : Path
        Where it outlives the subscriber.
    publisher : PublisherConnection
    rights : PublishedRights
        Learn the readers of the root with its catalog.
    on_credit : callable
        Called with what the publisher allows one requester.
    on_change : callable
        Called with the paths whose version changed, and whether the catalog was known.
    limits : Limits

    Attributes
    ----------
    browsed : FollowedIndex
    heard : float or None
        When its publisher was last heard, in seconds since 1970.
    greeting : PublisherHello or None
        What it said last, since the start.
    on_step : callable
        Called with the paths that changed, for each new revision.
    """

    def __init__(
        self,
        name: RootName,
        directory: Path,
        publisher: PublisherConnection,
        rights: PublishedRights,
        on_credit: Callable[[Credit], None],
        on_change: Callable[[set[DatasetPath], bool], None],
        limits: Limits = DEFAULTS,
    ) -> None:
        self.name = name
        self.heard: float | None = None
        self.greeting: messages.PublisherHello | None = None
        self.on_step: Callable[[set[DatasetPath]], None] = _unwatched
        self._publisher = publisher
        self._rights = rights
        self._on_credit = on_credit
        self._on_change = on_change
        self._limits = limits
        self._file = CatalogFile(directory, name)
        self._copy = self._file.read()
        self._generations = Generations()
        self._pages = CatalogPages(limits.publisher)
        self._pages.history.note(self._copy.inst, self._copy.rev, ())
        self.browsed = FollowedIndex(limits.subscriber.search_bytes)
        self._syncing = asyncio.Lock()

    @property
    def revision(self) -> int:
        """Revision of the last catalog; -1 before the first."""
        return self._copy.rev

    @property
    def inst(self) -> str:
        """The publisher's run that the revision belongs to; empty before the first catalog."""
        return self._copy.inst

    @property
    def known(self) -> bool:
        """Whether the datasets' names are known."""
        return self._copy.complete

    @property
    def entries(self) -> dict[DatasetPath, Entry]:
        """The datasets, as of the last catalog; empty before the first."""
        return self._copy.entries

    @property
    def groups(self) -> dict[DatasetPath, Entry]:
        """The descriptions of its directories, by their own paths, as of the last catalog."""
        return self._copy.groups

    def entry(self, path: DatasetPath) -> Entry | None:
        """Return the dataset or group of a path, as of the last catalog."""
        return self._copy.entry(path)

    async def index(self) -> Index:
        """Return the index of the catalog as it is now."""
        return await self.browsed.of(self.entries, self.groups)

    @property
    def of_this_run(self) -> bool:
        """Whether it was sent by the publisher's present run."""
        where = self._publisher.where
        return where is not None and where.inst == self._copy.inst

    @property
    def even(self) -> bool:
        """Whether all entries are of one revision."""
        return self._copy.even

    async def keep(self) -> None:
        """Save it if it changed."""
        await self._file.keep(self._copy)

    # --- in step ---

    async def sync(self) -> None:
        """Request what changed since the last catalog from the publisher."""
        async with self._syncing:
            await self._sync()

    async def keep_up(self, *, catalog: bool) -> None:
        """Ask the publisher who may read the root, and with ``catalog`` what changed."""
        async with self._syncing:
            await self._sync(catalog=catalog)

    async def _sync(self, *, catalog: bool = True) -> None:
        """Learn the readers with the catalog: an earlier one is not theirs."""
        with self._publisher.holding() as connection:
            where = self._publisher.where
            hello = await self._greet(connection)
            now = self._publisher.where
            if where is None or now is None or now.inst != where.inst:
                raise Busy(f"root {self.name} has moved meanwhile", after_ms=100)
            self._rights.announced(self.name, hello.rights)
            self._publisher.rights = hello.rights
            if catalog:
                await self._request(connection)
            if self._publisher.where == where:
                self._rights.learned(self.name, hello.rights, hello.readers)

    async def _greet(self, connection: Requester[DataReply]) -> messages.PublisherHello:
        hello = await connection.ask(HELLO, self._limits.wire.first_byte)
        if not isinstance(hello, messages.PublisherHello) or hello.root != self.name:
            raise BadMessage(f"{connection.endpoint} does not publish {self.name}")
        self.heard, self.greeting = time.time(), hello
        connection.set_credit(min(hello.limits.requests, self._limits.wire.credit))
        self._on_credit(hello.limits)
        return hello

    async def _request(self, connection: Requester[DataReply]) -> None:
        for _ in range(max(1, self._limits.wire.retries)):
            where = self._publisher.where
            inst = where.inst if where else ""
            since = self._copy.since(inst)
            pages = await catalog_pages.ask(connection, inst, since, self._limits.subscriber)
            known = self._copy.complete
            self._changed(await self._taken(pages), known)
            if len({page.rev for page in pages}) == 1:
                return

    async def _taken(self, pages: list[messages.Catalog]) -> set[DatasetPath]:
        """Apply the pages of a catalog without holding up the loop; return the changed paths."""
        count = sum(len(page.entries) for page in pages)
        if pages[0].full and count + len(self.entries) + len(self.groups) > MANY_ENTRIES:
            rev, taken = self._copy.rev, self._copy.copied()
            changed = await asyncio.to_thread(taken.take, pages)
            if self._copy.rev == rev:  # else a change arrived meanwhile, and counts
                self._copy = taken
                return changed
        return self._copy.take(pages)

    def note(self, note: messages.RootNote) -> bool:
        """Apply a note of the publisher; return False if some were missed and `sync` is due."""
        self.heard = time.time()
        where = self._publisher.where
        if where is None or (note.inst, note.fence) != (where.inst, where.fence):
            return True
        if not self._copy.is_current(note):
            return False
        if isinstance(note, messages.Change):
            self._changed(self._copy.change(note))
        return True

    async def page(self, request: messages.CatalogRequest) -> messages.Catalog:
        """Return a page of it as the publisher would, for a reader that takes it from here."""
        return await self._pages.page(self._copy, request)

    def _changed(self, paths: set[DatasetPath], known: bool = True) -> None:
        self._pages.history.note(self._copy.inst, self._copy.rev, paths)
        if paths:
            self._generations.change(paths)
            self.browsed.change(paths)
            self._on_change(paths, known)
        self.on_step(paths)

    # --- generations ---

    @property
    def _state(self) -> str:
        inst = hashlib.blake2b(self._copy.inst.encode(), digest_size=6).hexdigest()
        return f"g{inst}-{self._copy.rev}"

    @property
    def generation(self) -> str:
        """Name of the catalog as it is now."""
        return self._generations.name(self._state)

    def holds(self, generation: str, path: DatasetPath) -> bool:
        """Return whether a dataset has the version that it had in a generation of the catalog."""
        return self._generations.holds(generation, self._state, path)


def _unwatched(_paths: set[DatasetPath]) -> None:
    """Do nothing about a step that nothing follows."""
