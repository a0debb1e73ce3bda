"""One special root in the words of any root: its catalog, its datasets, its changes."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar
from weakref import WeakValueDictionary

from caterva2.arrays.fields import Field, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.cache.readable import Ids, Readable
from caterva2.errors import Busy, NotFound, SourceCorrupt, StaleVersion
from caterva2.frames.sealed import Sealed
from caterva2.model import Entry, PrefetchStatus
from caterva2.names import DatasetPath, RootName, full_name, page
from caterva2.reading.dataset import ChunkedDataset, ReadPool
from caterva2.sources.base import ALL
from caterva2.sources.catalog import Step
from caterva2.sources.followed import FollowedSource
from caterva2.special.directory import Space
from caterva2.special.incoming import Incoming
from caterva2.special.stored import StoredDataset, StoredExpression

log = logging.getLogger(__name__)
T = TypeVar("T")
OPEN = 64
"""Datasets of a root that are kept open for whoever reads them next."""


class SpecialRoot:
    """Knows what is in a space, and reads it.

    Parameters
    ----------
    name : RootName
    space : Space
    incoming : Incoming
        For frames that are made for a while.
    pool : ReadPool
    on_change : callable
        Told what changed, and by how many bytes the space grew.
    owner : str
        Ident of the user whose root it is; empty for a root of many.
    """

    def __init__(
        self,
        name: RootName,
        space: Space,
        incoming: Incoming,
        pool: ReadPool,
        on_change: Callable[[SpecialRoot, list[Step], int], None],
        owner: str = "",
    ) -> None:
        self.name = name
        self.space = space
        self.incoming = incoming
        self.pool = pool
        self.owner = owner
        self.followed = FollowedSource(space.source)
        self.followed.listen(self._changed)
        self.changing = self.followed.changing
        """Held while names in the space change, until the catalog shows it."""
        self._on_change = on_change
        self._open: OrderedDict[DatasetPath, StoredDataset | StoredExpression] = OrderedDict()
        self._writing: WeakValueDictionary[DatasetPath, asyncio.Lock] = WeakValueDictionary()

    @property
    def entries(self) -> Mapping[DatasetPath, Entry]:
        return self.followed.entries

    def writing(self, path: DatasetPath) -> asyncio.Lock:
        """StoredDataset by whoever makes a dataset's next version out of its last one."""
        lock = self._writing.get(path)
        if lock is None:
            lock = self._writing[path] = asyncio.Lock()
        return lock

    async def look(self, scope: str = ALL) -> None:
        """Have the catalog tell what is there."""
        await self.followed.scan(scope)

    async def look_again(self, *scopes: str) -> None:
        """The same, for who holds `changing`."""
        for scope in scopes:
            await self.followed.scan_held(scope)

    def _changed(self, steps: list[Step]) -> None:
        for step in steps:
            self._open.pop(step.path, None)
        self._on_change(self, steps, sum(step.grown for step in steps))

    def prefetched(self, below: str) -> PrefetchStatus:
        """All of it is here: what a prefetch is told.

        Raises
        ------
        NotFound
        """
        entries, name = self.entries, full_name(self.name, below)
        prefix = f"{below}/" if below else ""
        count = sum(path == below or path.startswith(prefix) for path in entries)
        if below and not count:
            raise NotFound(f"{name} does not exist")
        return PrefetchStatus(
            path=name, state="done", datasets=count, done=count, failed=0, failures=(),
            nchunks=0, cached=0, error="",
        )  # fmt: skip

    async def page(self, below: str, after: str, most: int) -> list[DatasetPath]:
        """The first datasets of a directory that come after a path, in order."""
        return await asyncio.to_thread(page, list(self.entries), below, after, most)

    async def dataset(self, path: DatasetPath) -> SpaceDataset | StoredExpression:
        """The current version of a dataset, or what it is computed of.

        Raises
        ------
        NotFound, SourceCorrupt
        """
        entry = self.entries.get(path)
        if entry is None:
            raise NotFound(f"{self.name}/{path} does not exist")
        held = self._open.get(path)
        if held is None or held.etag != entry.etag:
            try:
                held = await self.pool.run(lambda: self.space.open(path))
            except StaleVersion:
                await self.look(path)
                raise
            except NotFound:
                await self.look(path)
                raise NotFound(f"{self.name}/{path} does not exist") from None
            if held.etag != entry.etag:
                await self.look(path)
            self._open[path] = held
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(path)
        return held if isinstance(held, StoredExpression) else SpaceDataset(self, held)


class SpaceDataset(ChunkedDataset):
    """One version of a dataset of a special root."""

    offline = False

    def __init__(self, root: SpecialRoot, held: StoredDataset) -> None:
        super().__init__(held.info, root.pool)
        self._root = root
        self.held = held

    @property
    def stored(self) -> Sealed | None:
        return self.held.stored

    @property
    def cached_chunks(self) -> int:
        return self.info.nchunks

    @property
    def cached_bytes(self) -> int:
        return self.info.cbytes

    async def values(self, wanted: Selection | Points, field: Field = ()) -> Values:
        if self.info.kind == "file" and isinstance(wanted, Selection):
            selected = wanted
            return await self._done(lambda: self.held.file_values(selected))
        return await super().values(wanted, field)

    async def ready(self, wanted: Selection) -> None:
        """All of it is here; that it still is this version is seen when it is read."""

    async def _whole(self) -> Sealed:
        return await self._done(lambda: self.held.whole(self._root.incoming))

    async def _filled(
        self,
        needed: Selection | Ids,
        work: Callable[[Readable], T | None],
        wanted: Selection | Points | None = None,
    ) -> T:
        return await self._done(lambda: work(self.held))

    async def _done(self, work: Callable[[], T | None]) -> T:
        try:
            result = await self._pool.run(work)
        except StaleVersion:
            await self._root.look(self.info.path)
            raise
        except SourceCorrupt as error:
            raise error.about(f"{self._root.name}/{self.info.path}") from None
        except (RuntimeError, ValueError) as error:  # Blosc2's
            name = f"{self._root.name}/{self.info.path}"
            raise SourceCorrupt(f"{name} can't be decoded: {error}") from None
        if result is None:
            raise Busy("the subscriber ends", after_ms=5000)
        return result
