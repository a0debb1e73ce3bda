"""A source that is watched and scanned, with the catalog that results.

Publishers and special roots serve what a `FollowedSource` knows.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn

from caterva2.errors import CatervaError
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.model import Entry
from caterva2.names import DatasetPath
from caterva2.runtime.printable import printable
from caterva2.sources.base import ALL, Source
from caterva2.sources.catalog import Ledger, Step
from caterva2.sources.watcher import Watcher
from caterva2.wire.messages import Catalog

log = logging.getLogger(__name__)
Found = dict[DatasetPath, Entry]


class FollowedSource:
    """Keeps a catalog in step with a source.

    All methods are called on one event loop. The catalog changes only by a scan, and all at
    once: `entries` and `rev` between two awaits belong together. Each change raises `rev` by
    one. Listeners get the steps of a scan in the order of their revisions, after the catalog
    has them and before the scan returns; they must not raise. An error of `Source.scan` leaves
    the catalog as it was and is raised to the caller of `scan`; a scan is safe to repeat.

    Parameters
    ----------
    source : Source
        Closed by its owner, after `follow` has ended.
    limits : PublisherLimits, optional
    run : callable, optional
        Runs a scan in a thread; in one for all kinds of work if it is not said otherwise.
    """

    def __init__(
        self,
        source: Source,
        limits: PublisherLimits = DEFAULTS.publisher,
        run: Callable[[Callable[[], Found]], Awaitable[Found]] = asyncio.to_thread,
    ) -> None:
        self.source = source
        self.changing = asyncio.Lock()
        """Held by scans, and by whatever changes names in the source and scans them in one step."""
        self._limits, self._run = limits, run
        self._ledger = Ledger(limits)
        self._watcher = Watcher(source, limits.poll)
        self._listeners: list[Callable[[list[Step]], None]] = []
        self._remembered = -math.inf
        self._problem = ""
        self.scans, self.scan_seconds = 0, 0.0
        """How many scans there were, and how long they took together."""

    @property
    def entries(self) -> Mapping[DatasetPath, Entry]:
        """The datasets by their paths; a live view."""
        return self._ledger.entries

    @property
    def rev(self) -> int:
        """The revision of `entries`: the number of changes since this object was made."""
        return self._ledger.rev

    def page(
        self, request_id: int, inst: str, since_rev: int, cursor: str, *, groups: bool = False
    ) -> Catalog:
        """Return a page of the catalog as a message, see `Ledger.page`."""
        return self._ledger.page(request_id, inst, since_rev, cursor, groups=groups)

    def listen(self, on_change: Callable[[list[Step]], None]) -> None:
        """Have a function called with the steps of each scan that found changes."""
        self._listeners.append(on_change)

    def hint(self, path: DatasetPath, etag: str | None = None) -> None:
        """Have `follow` scan a path soon.

        Parameters
        ----------
        path : DatasetPath
        etag : str, optional
            The version that was met there, empty if there is no dataset. If it is the one in
            the catalog, nothing happens.
        """
        entry = self._ledger.entries.get(path)
        if etag is None or etag != (entry.etag if entry else ""):
            self._watcher.hint(path)

    async def scan(self, scope: str = ALL) -> list[Step]:
        """Bring the catalog in step with a scope of the source; return what changed."""
        async with self.changing:
            return await self.scan_held(scope)

    async def scan_held(self, scope: str = ALL) -> list[Step]:
        """Bring the catalog in step with a scope, for a caller that holds `changing`."""
        began = time.monotonic()
        found = await self._run(functools.partial(self.source.scan, scope))
        self.scans, self.scan_seconds = self.scans + 1, self.scan_seconds + time.monotonic() - began
        steps = self._ledger.replace(scope, found)
        if steps:
            for on_change in self._listeners:
                on_change(steps)
        return steps

    async def follow(self) -> NoReturn:
        """Scan whatever the source, or a hint, says may have changed, until cancelled.

        A watch that breaks is tried again, see `Watcher`. A scan that fails is logged and leaves
        the catalog as it was, until the next one.
        """
        async with self._watcher:
            await self._watcher.follow(self._scan_and_remember)

    async def _scan_and_remember(self, scope: str) -> None:
        try:
            await self.scan(scope)
            self._problem = ""
        except (CatervaError, OSError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.warning("the scan of %r failed: %s", scope, printable(self._problem))
            return
        now = time.monotonic()
        if scope == ALL and now - self._remembered >= self._limits.remember:
            self._remembered = now
            await self.remember()

    async def remember(self) -> None:
        """Have the source keep for the next start what took long to find out."""
        await asyncio.to_thread(self.source.remember)
