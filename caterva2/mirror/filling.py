"""Prefetch for mirrors: whole roots, parts of them, and new versions of cached datasets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from caterva2.errors import CatervaError
from caterva2.mirror.looking import look
from caterva2.mirror.options import MirrorOptions
from caterva2.mirror.root import MirroredRoot
from caterva2.names import DatasetPath, RootName
from caterva2.subscriber.service import Subscriber

log = logging.getLogger(__name__)
AGAIN = 30.0
"""Seconds until what could not be fetched is tried again."""


class Filling:
    """Fetches one dataset at a time.

    Parameters
    ----------
    subscriber : Subscriber
    options : MirrorOptions
    roots : mapping
        The mirrors by the names of their roots.
    """

    def __init__(
        self, subscriber: Subscriber, options: MirrorOptions, roots: Mapping[RootName, MirroredRoot]
    ) -> None:
        self._subscriber = subscriber
        self._options = options
        self._roots = roots
        self._waiting: dict[tuple[RootName, DatasetPath], None] = {}
        self._left: set[RootName] = set()
        self._filled = asyncio.Event()

    def begin(self, name: RootName) -> None:
        """Fetch what is missing of a root, as far as it is to be fetched ahead."""
        if self._options.fills.cover(name):
            self._left.add(name)
            self._filled.set()

    def step(self, name: RootName, paths: set[DatasetPath]) -> None:
        """Fetch new versions of datasets that are fetched ahead, or were there."""
        if not self._options.follow and not self._options.fills.cover(name):
            return
        if not all(self._options.fills.name(name, path) for path in paths):
            self._roots[name].complete = False
        self._waiting.update(dict.fromkeys((name, path) for path in paths))
        self._filled.set()

    async def run(self) -> None:
        """Fetch until cancelled."""
        while True:
            try:
                async with asyncio.timeout(AGAIN if self._left else None):
                    await self._filled.wait()
            except TimeoutError:
                pass
            self._filled.clear()
            while self._waiting:
                name, path = next(iter(self._waiting))
                del self._waiting[name, path]
                await self._fetch(name, path)
            for name in list(self._left):
                if await self._all(name):
                    self._left.discard(name)

    async def protect(self) -> None:
        """Keep from eviction what is pinned, and what is cached of roots whose origin is away."""
        known: list[object] = []
        while True:
            now = [(name, one.away, one.root.revision) for name, one in self._roots.items()]
            if now != known:
                known = list(now)
                of_roots = [
                    (name, one.away, list(one.root.entries))
                    for name, one in self._roots.items()
                    if one.away or self._options.pinned.cover(name)
                ]
                kept = self._kept(of_roots)
                await asyncio.to_thread(self._subscriber.store.keep, kept)
            await look()

    def _kept(
        self, of_roots: Iterable[tuple[RootName, bool, list[DatasetPath]]]
    ) -> Iterator[tuple[RootName, DatasetPath]]:
        """Yield what is kept of roots, which may be away; in a thread, since there may be many."""
        for name, away, paths in of_roots:
            for path in paths:
                if away or self._options.pinned.name(name, path):
                    yield name, path

    async def _all(self, name: RootName) -> bool:
        mirror, fills = self._roots[name], self._options.fills
        paths = list(mirror.root.entries)
        wanted = await asyncio.to_thread(lambda: [p for p in paths if fills.name(name, p)])
        done = [await self._fetch(name, path) for path in wanted]
        mirror.complete = all(done) and len(wanted) == len(mirror.root.entries)
        return all(done)

    async def _fetch(self, name: RootName, path: DatasetPath) -> bool:
        """Fetch a dataset, or the part that was there of an earlier version."""
        root = self._roots[name].root
        if path not in root.entries:
            return True
        try:
            if self._options.fills.name(name, path):
                await (await self._subscriber.dataset(name, path)).fill()
                return True
            await self._follow(name, path)
        except CatervaError as error:
            log.info("%s/%s is not fetched ahead: %s", name, path, error)
            if self._options.fills.name(name, path):
                self._roots[name].complete = False
                self._left.add(name)
            return False
        return True

    async def _follow(self, name: RootName, path: DatasetPath) -> None:
        root = self._roots[name].root
        known = await asyncio.to_thread(root.known_versions, path)
        dataset = await self._subscriber.dataset(name, path)
        for info in known:
            replica = await root.cached(info) if info.etag != dataset.info.etag else None
            if replica is not None:
                count = min(info.nchunks, dataset.info.nchunks)
                ids = np.setdiff1d(np.arange(count), replica.missing(np.arange(count)))
                new = dataset.info.nchunks - info.nchunks
                if new > 0 and len(ids) == count:
                    ids = np.arange(dataset.info.nchunks)  # it was complete, and has grown
                if len(ids):
                    await dataset.fill(ids)
                return
