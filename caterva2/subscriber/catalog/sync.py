"""Bring the catalogs of roots in step with their publishers, in the background."""

from __future__ import annotations

import asyncio
import logging
import random

from caterva2.errors import CatervaError
from caterva2.limits import DEFAULTS, SubscriberLimits
from caterva2.names import RootName
from caterva2.runtime.tasks import Tasks
from caterva2.subscriber.remote_root import RemoteRoot

log = logging.getLogger(__name__)
PAUSE = 0.5, 1.5
"""Least and greatest seconds of the jittered pause after a failure."""


class CatalogSync:
    """The roots whose catalog missed something.

    Parameters
    ----------
    tasks : Tasks
        Where the work runs.
    limits : SubscriberLimits
    """

    def __init__(self, tasks: Tasks, limits: SubscriberLimits = DEFAULTS.subscriber) -> None:
        self._turn = asyncio.Semaphore(limits.syncs)
        self._tasks = tasks
        self._stale: set[RootName] = set()
        self._running: set[RootName] = set()

    def request(self, root: RemoteRoot) -> None:
        """Have a catalog brought in step soon."""
        self._stale.add(root.name)
        if root.name not in self._running:
            self._running.add(root.name)
            self._tasks.start(self._run(root), f"sync {root.name}")

    async def _run(self, root: RemoteRoot) -> None:
        """Bring a catalog in step; try again for as long as its publisher is up."""
        said = ""
        try:
            while root.name in self._stale and not root.offline:
                self._stale.discard(root.name)  # what is missed from here on adds it again
                try:
                    async with self._turn:
                        await root.keep_up()
                except CatervaError as error:
                    # A mirror may be behind for as long as its origin is away.
                    if str(error) != said:
                        log.warning("the catalog of %s: %s", root.name, error)
                    said = str(error)
                    self._stale.add(root.name)
                    await asyncio.sleep(random.uniform(*PAUSE))  # noqa: S311 - jitter
        finally:
            self._running.discard(root.name)
