"""A special root: its catalog and its datasets."""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar
from weakref import WeakValueDictionary

from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import Selection
from caterva2.browsing.details import RootDetails
from caterva2.browsing.followed import FollowedIndex
from caterva2.browsing.index import Index
from caterva2.cache.readable import Ids, Readable
from caterva2.errors import Busy, NotFound, QuotaExceeded, SourceCorrupt, StaleVersion
from caterva2.frames.sealed import Sealed
from caterva2.limits import DEFAULTS, SpecialLimits
from caterva2.model import Entry, PrefetchStatus
from caterva2.model.missing import missing
from caterva2.names import DatasetPath, RootName, full_name, page
from caterva2.reading.dataset import ChunkedDataset, ReadPool, Region, is_small
from caterva2.runtime.lru import Lru
from caterva2.sources.catalog import Generations, Step
from caterva2.sources.followed import FollowedSource
from caterva2.special.directory import SpecialDirectory
from caterva2.special.incoming import Incoming
from caterva2.special.pause import Pause
from caterva2.special.stored import StoredDataset, StoredExpression

T = TypeVar("T")


class SpecialRoot:
    """Keeps the catalog of a special root in step with its directory, and opens its datasets.

    Parameters
    ----------
    name : RootName
    directory : SpecialDirectory
    incoming : Incoming
        Where temporary frames are written.
    pause : Pause
        Of changes, by a backup.
    pool : ReadPool
    inside, listing : ReadPool
        For what is in files, which may be read slowly; for scans, which may list such files.
    on_change : callable
        Called with the changes, and the number of bytes by which the root has grown.
    owner : str
        Ident of the user whose root it is; empty for a root of all users.
    limits : SpecialLimits
    quota : int
        Bytes of its files; 0 for no limit.
    """

    def __init__(
        self,
        name: RootName,
        directory: SpecialDirectory,
        incoming: Incoming,
        pause: Pause,
        pool: ReadPool,
        inside: ReadPool,
        listing: ReadPool,
        on_change: Callable[[SpecialRoot, list[Step], int], None],
        owner: str = "",
        limits: SpecialLimits = DEFAULTS.special,
        quota: int = 0,
    ) -> None:
        self.name = name
        self._quota, self._used = quota, 0
        self.directory = directory
        self.incoming = incoming
        self._pool, self._inside = pool, inside
        self.owner = owner
        self.followed = FollowedSource(directory.source, run=listing.run)
        self.followed.listen(self._changed)
        self.changing = self.followed.changing
        """Held while names in the directory change, until the catalog shows it."""
        self.pause = pause
        self._run, self._generations = secrets.token_hex(6), Generations()
        self.browsed = FollowedIndex()
        self._on_change = on_change
        self._open: Lru[DatasetPath, StoredDataset | StoredExpression] = Lru(limits.open_datasets)
        self._appending: WeakValueDictionary[DatasetPath, asyncio.Lock] = WeakValueDictionary()

    @property
    def generation(self) -> str:
        """Name of the catalog as it is now."""
        return self._generations.name(self._state)

    @property
    def _state(self) -> str:
        return f"g{self._run}-{self.followed.rev}"

    def holds(self, name: str, path: DatasetPath) -> bool:
        """Return whether a dataset has the version that it had in a generation of the catalog."""
        return self._generations.holds(name, self._state, path)

    def pool_of(self, path: DatasetPath) -> ReadPool:
        """Return the threads that read a dataset: what waits for a slow file holds up no other."""
        return self._inside if self.directory.source.container_of(path) else self._pool

    @property
    def entries(self) -> Mapping[DatasetPath, Entry]:
        """The datasets by their paths."""
        return self.followed.entries

    async def index(self) -> Index:
        """Return the index of the catalog as it is now."""
        return await self.browsed.of(self.entries, {})

    async def details(self) -> RootDetails:
        """Return what is known of it as a whole: all of it is here."""
        index = await self.index()
        return RootDetails(index.datasets, index.size, index.size, "live", time.time())

    def appending(self, path: DatasetPath) -> asyncio.Lock:
        """Return the lock that appending to a dataset holds, from reading it to its commit."""
        lock = self._appending.get(path)
        if lock is None:
            lock = self._appending[path] = asyncio.Lock()
        return lock

    def _changed(self, steps: list[Step]) -> None:
        for step in steps:
            self._open.pop(step.path)
        paths = [step.path for step in steps]
        self._generations.change(paths)
        self.browsed.change(paths)
        grown = sum(self._grown(steps))
        self._used += grown
        self._on_change(self, steps, grown)

    def _grown(self, steps: list[Step]) -> Iterator[int]:
        """Yield the bytes by which files have grown; what is in a file counts with that."""
        former = {step.path for step in steps if step.former}
        new = {step.path for step in steps if step.entry and not step.former}
        now = _inside(self.entries.__contains__)
        before = _inside(lambda path: path in former or (path in self.entries and path not in new))
        for step in steps:
            directory = step.path.rpartition("/")[0]
            if step.entry and not now(directory):
                yield step.entry.size
            if step.former and not before(directory):
                yield -step.former.size

    def size_below(self, path: DatasetPath) -> int:
        """Return the bytes of a file, or of the files of a directory."""
        below, inside = f"{path}/", _inside(self.entries.__contains__)
        return sum(
            entry.size
            for at, entry in self.entries.items()
            if at == path or (at.startswith(below) and not inside(at.rpartition("/")[0]))
        )

    def check_room(self, size: int, replaced: DatasetPath | None = None) -> None:
        """Raise `QuotaExceeded` if what is put in place of something is too much for the root."""
        old = self.entries.get(replaced) if replaced is not None else None
        more = size - (old.size if old is not None else 0)
        if self._quota and more > 0 and self._used + more > self._quota:
            raise QuotaExceeded(
                f"the quota of {self.name} would be exceeded: {self._used} of {self._quota} bytes "
                f"are in use, {more} more are too many"
            )

    def prefetched(self, below: str) -> PrefetchStatus:
        """Return the status of a completed prefetch: everything is stored here.

        Raises
        ------
        NotFound
        """
        name = full_name(self.name, below)
        prefix = f"{below}/" if below else ""
        count = sum(path == below or path.startswith(prefix) for path in self.entries)
        if below and not count:
            raise NotFound(f"{name} does not exist")
        return PrefetchStatus(
            path=name, state="done", datasets=count, done=count, failed=0, failures=(),
            nchunks=0, cached=0, error="",
        )  # fmt: skip

    async def page(self, below: str, after: str, max_paths: int) -> list[DatasetPath]:
        """Return the first datasets of a directory that follow a path, sorted."""
        return await asyncio.to_thread(page, list(self.entries), below, after, max_paths)

    async def dataset(self, path: DatasetPath) -> SpecialDataset | StoredExpression:
        """Open the current version of a dataset or expression.

        Raises
        ------
        NotFound, SourceCorrupt
        """
        entry = self.entries.get(path)
        if entry is None:
            raise missing(self.name, path, self.entries)
        found = self._open.get(path)
        if found is None or found.etag != entry.etag:
            try:
                found = await self.pool_of(path).run(lambda: self.directory.open(path))
            except StaleVersion:
                await self.followed.scan(path)
                raise
            except NotFound:
                await self.followed.scan(path)
                raise NotFound(f"{self.name}/{path} does not exist") from None
            except SourceCorrupt as error:
                raise error.about(full_name(self.name, path)) from None
            if found.etag != entry.etag:
                await self.followed.scan(path)
            self._open.put(path, found)
        return found if isinstance(found, StoredExpression) else SpecialDataset(self, found)


def _inside(is_file: Callable[[str], bool]) -> Callable[[str], bool]:
    """Return what says whether a directory is in a file, or is one; it looks at each path once."""

    @functools.cache
    def inside(directory: str) -> bool:
        return bool(directory) and (is_file(directory) or inside(directory.rpartition("/")[0]))

    return inside


class SpecialDataset(ChunkedDataset):
    """One version of a stored dataset of a special root.

    Parameters
    ----------
    root : SpecialRoot
    content : StoredDataset
    """

    offline = False

    def __init__(self, root: SpecialRoot, content: StoredDataset) -> None:
        super().__init__(content.info, root.pool_of(content.info.path))
        self._root = root
        self.content = content

    @property
    def stored(self) -> Sealed | None:
        """The stored frame; None for a plain file."""
        return self.content.stored

    @property
    def cached_chunks(self) -> int:
        """Number of chunks: all are stored here."""
        return self.info.nchunks

    @property
    def cached_bytes(self) -> int:
        """Stored bytes of the chunks."""
        return self.info.cbytes

    async def values(self, region: Selection | Points, field: FieldPath = ()) -> Values:
        """Read a selection."""
        if self.info.kind == "file" and isinstance(region, Selection):
            selection = region
            return await self._run(lambda: self.content.file_values(selection))
        return await super().values(region, field)

    async def ready(self, region: Selection) -> None:
        """Return at once: everything is stored here, and each read checks the version."""

    def _singles(self, replica: Readable, n: int, ids: Sequence[int]) -> list[bytes]:
        return self.content.blocks(n, ids)

    async def _whole(self) -> Sealed:
        return await self._run(lambda: self.content.whole(self._root.incoming))

    async def _filled(
        self,
        needed: Selection | Ids,
        work: Callable[[Readable], T | None],
        region: Region | None = None,
    ) -> T:
        return await self._run(lambda: work(self.content), small=is_small(region, self.info))

    async def _run(self, work: Callable[[], T | None], *, small: bool = False) -> T:
        """Run a read in a thread, and name the dataset in its errors."""
        name = full_name(self._root.name, self.info.path)
        try:
            result = await self._pool.run(work, small=small)
        except StaleVersion:
            await self._root.followed.scan(self.info.path)
            raise
        except SourceCorrupt as error:
            raise error.about(name) from None
        except (RuntimeError, ValueError) as error:  # Blosc2's
            raise SourceCorrupt(f"can't be decoded: {error}", subject=name) from None
        if result is None:
            raise Busy("the subscriber ends", after_ms=5000)
        return result
