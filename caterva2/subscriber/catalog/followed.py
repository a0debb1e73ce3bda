"""The catalog of a published root, kept in step with its publisher."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from caterva2.browsing.followed import FollowedIndex
from caterva2.browsing.index import Index
from caterva2.errors import BadMessage, Busy, CatervaError
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import Entry, RootInfo
from caterva2.names import DatasetPath, RootName
from caterva2.signing.checks import Checks
from caterva2.sources.catalog import Generations
from caterva2.subscriber.catalog import order
from caterva2.subscriber.catalog import pages as catalog_pages
from caterva2.subscriber.catalog.saved import CatalogFile
from caterva2.subscriber.catalog.serving import CatalogPages
from caterva2.subscriber.publishers.choice import Behind
from caterva2.subscriber.publishers.connection import HELLO
from caterva2.subscriber.publishers.places import PUBLISHER
from caterva2.subscriber.publishers.providers import NONE_TRIED, Providers, Tried
from caterva2.subscriber.publishers.rights import PublishedRights
from caterva2.subscriber.trust.catalogs import SignedCatalogs
from caterva2.subscriber.trust.root_trust import RootTrust
from caterva2.wire import messages
from caterva2.wire.calls import AsksFor
from caterva2.wire.messages import Credit, DataReply

log = logging.getLogger(__name__)
WAITS, WAIT = 4, 0.1
"""How often, and after how many seconds, a mirror that is behind is asked whether it has caught up:
a note may reach a reader first."""
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
    providers : Providers
    rights : PublishedRights
        Learn the readers of the root with its catalog.
    on_credit : callable
        Called with what the publisher allows one requester.
    on_change : callable
        Called with the paths whose version changed, and whether the catalog was known.
    trust : RootTrust
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
        providers: Providers,
        rights: PublishedRights,
        on_credit: Callable[[Credit], None],
        on_change: Callable[[set[DatasetPath], bool], None],
        trust: RootTrust,
        limits: Limits = DEFAULTS,
    ) -> None:
        self.name = name
        self.heard: float | None = None
        self.greeting: messages.PublisherHello | None = None
        self.on_step: Callable[[set[DatasetPath]], None] = lambda _: None
        self._providers = providers
        self._rights = rights
        self._on_credit = on_credit
        self._on_change = on_change
        self._trust = trust
        self._signed = SignedCatalogs(limits)
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
    def fence(self) -> int:
        """The fence of the publisher's run; 0 before the first catalog."""
        return self._copy.fence

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
        return bool(self.inst) and self._announced_inst == self.inst

    @property
    def _announced_inst(self) -> str:
        where = self._providers.where
        return where.inst if where is not None else ""

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
        """Ask one provider after the other, until one has what is not older than the copy."""
        tried = self._providers.mirrors if self._knows_no_readers else NONE_TRIED
        while True:
            where = self._providers.where
            with self._providers.holding(tried) as connection:
                try:
                    return await self._sync_with(connection, where, catalog, tried)
                except CatervaError as error:
                    if self._providers.where is not where:
                        raise
                    again = self._providers.again(connection, error, tried)
                    if again is None:
                        raise
                    tried = again

    async def _sync_with(
        self, connection: AsksFor[DataReply], where: RootInfo | None, catalog: bool, tried: Tried
    ) -> None:
        """Learn the readers with the catalog: an earlier one is not theirs."""
        name = self._providers.name_of(connection) or PUBLISHER
        by_mirror = self._providers.is_mirror(name)
        hello = await self._greet(connection, where if by_mirror else None)
        now = self._providers.where
        if where is None or now is None or now.inst != where.inst:
            raise Busy(f"root {self.name} has moved meanwhile", after_ms=100)
        self._providers.heard(name, hello)
        self._on_credit(hello.limits)
        learned = self._rights.said(hello, where, by_publisher=name == PUBLISHER)
        self._rights.announced(self.name, hello.rights)
        self._providers.rights = hello.rights
        await self._trust.hear(hello.signers, name)
        if catalog:
            alive = sum(not one.offline for one in self._providers.connections)
            ask = functools.partial(
                catalog_pages.ask, connection, limits=self._limits.subscriber,
                others=alive > 1 + len(tried),
            )  # fmt: skip
            await self._request(ask, hello if by_mirror else None, self._trust.checks(name))
        if self._providers.where == where and learned is not None:
            self._rights.learned(self.name, hello.rights, learned)

    @property
    def _knows_no_readers(self) -> bool:
        """Whether the publisher, if it is there, has to be asked who may read the root."""
        where = self._providers.where
        unknown = where is not None and not self._rights.knows(self.name, where.rights)
        return unknown and self._providers.has_publisher

    async def _greet(
        self, connection: AsksFor[DataReply], where: RootInfo | None
    ) -> messages.PublisherHello:
        """Greet a publisher, or a mirror of ``where``; wait a little for one that is behind."""
        for left in reversed(range(WAITS)):
            hello = await connection.ask(HELLO, self._limits.wire.first_byte)
            if not isinstance(hello, messages.PublisherHello) or hello.root != self.name:
                raise BadMessage(f"{connection.endpoint} does not publish {self.name}")
            try:
                if where is not None:
                    order.check_hello(hello, where, self._copy)
            except Behind:
                if not left:
                    raise
                await asyncio.sleep(WAIT)
                continue
            self.heard, self.greeting = time.time(), hello
            connection.set_credit(min(hello.limits.requests, self._limits.wire.credit))
            return hello
        raise AssertionError("the last try returns or raises")

    async def _request(
        self, ask: catalog_pages.Ask, mirror: messages.PublisherHello | None, checks: Checks | None
    ) -> None:
        if checks is not None:
            inst, known = self._announced_inst, self._copy.complete
            taken, changed = await self._signed.request(ask, self._copy, inst, mirror, checks)
            taken.fence, self._copy = self._fence(mirror), taken
            self._changed(changed, known)
            return
        for _ in range(max(1, self._limits.wire.retries)):
            inst = self._announced_inst
            since = self._copy.since(inst)
            pages = await ask(inst, since)
            if mirror is not None:
                order.check_pages(pages, mirror, since)
            known = self._copy.complete
            changed = await self._taken(pages)
            self._copy.fence = self._fence(mirror)
            if pages[-1].manifest is not None and self._copy.even:
                self._copy.manifest = pages[-1].manifest
            self._changed(changed, known)
            if len({page.rev for page in pages}) == 1:
                return

    def _fence(self, mirror: messages.PublisherHello | None) -> int:
        where, origin = self._providers.where, mirror.origin if mirror is not None else None
        return origin.fence if origin else where.fence if where else 0

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
        where = self._providers.where
        if where is None or (note.inst, note.fence) != (where.inst, where.fence):
            return True
        if where.mirror and note.inst == self._copy.inst and note.rev < self._copy.rev:
            return note.rev > 0  # it is behind; at 0 it has no catalog, and takes one if asked
        if self._trust.checks(self._providers.current or PUBLISHER) is not None:
            # No note is signed: what it says counts as soon as the catalog says it.
            return note.inst == self._copy.inst and self._copy.even and note.rev <= self._copy.rev
        if not self._copy.is_current(note):
            return False
        if isinstance(note, messages.Change):
            self._changed(self._copy.change(note))
            return not self._trust.passes_on
        return True

    async def page(self, request: messages.CatalogRequest) -> messages.Catalog:
        """Return a page of it as the publisher would, for a reader that takes it from here.

        Raises
        ------
        Busy
            While some entries are newer than its revision: notes of these follow, and the reader
            would go back with them.
        """
        if not self._copy.even:
            raise Busy("its catalog is being brought in step", after_ms=50)
        return await self._pages.page(self._copy, request)

    @property
    def lacks_signature(self) -> bool:
        """Whether its origin signs, and this state of it is not known to be signed."""
        return self._trust.signs and self._copy.signed is None

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
