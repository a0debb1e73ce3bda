"""What the web application needs of a subscriber, and all that it knows of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from caterva2.arrays.fields import Field, Values
from caterva2.arrays.points import Points
from caterva2.arrays.selection import IntArray, Selection
from caterva2.errors import CatervaError
from caterva2.frames.sealed import Sealed
from caterva2.model import (
    DatasetInfo,
    Entry,
    Event,
    Expression,
    Health,
    Lost,
    PrefetchStatus,
    RootStatus,
    Upload,
    User,
)
from caterva2.names import DatasetPath, Place, RootName


class Dataset(Protocol):
    """One version of a dataset, to be read.

    Every method raises `StaleVersion` when the version is gone: open the dataset anew then.
    """

    @property
    def info(self) -> DatasetInfo: ...

    @property
    def offline(self) -> bool: ...

    @property
    def stored(self) -> Sealed | None:
        """The stored frame of everything, if all of it is here."""
        ...

    @property
    def expression(self) -> Expression | None:
        """What it is computed of, if it is."""
        ...

    @property
    def cached_chunks(self) -> int:
        """Chunks that are in the cache."""
        ...

    @property
    def cached_bytes(self) -> int:
        """Stored bytes of these chunks."""
        ...

    async def chunk(self, n: int) -> bytes:
        """Raw chunk ``n``; `NotFound` if there is none."""
        ...

    async def chunks(self, ids: IntArray) -> list[bytes]:
        """Raw chunks by their numbers."""
        ...

    async def ready(self, selection: Selection) -> None:
        """Fetch what a selection needs, and have it checked."""
        ...

    async def values(self, selection: Selection | Points, field: Field = ()) -> Values:
        """What a selection selects, or a field of it; `TooLarge` for too many chunks."""
        ...

    def try_values(self, selection: Selection | Points, field: Field = ()) -> Values | None:
        """The same if it takes but a moment; never blocks."""
        ...

    async def frame(
        self, selection: Selection | Points, field: Field = ()
    ) -> bytes | bytearray | Sealed:
        """A contiguous frame of what a selection selects; the stored one for everything."""
        ...


Member = DatasetInfo | Dataset | CatervaError
"""What is known of a dataset: what it looks like, or more than that, or what is wrong with it."""


class Listener(Protocol):
    """Somebody who is told what happens."""

    async def next(self) -> Event | Lost | None:
        """What happened next, `Lost` where that was too much; None at the end."""
        ...

    def close(self) -> None:
        """Listen no more."""
        ...


class Reader(Protocol):
    """A subscriber as one user sees it: what the user may not know of does not exist in it."""

    def roots(self) -> list[RootStatus]: ...

    def health(self) -> Health:
        """Whether the broker is heard, and how many roots are up."""
        ...

    async def subscribe(self, root: RootName) -> None:
        """Follow a root; `NotFound` if the broker knows it not, `RootOffline` without a broker."""
        ...

    async def unsubscribe(self, root: RootName) -> None:
        """Stop to follow a root; what is cached stays."""
        ...

    async def entries(self, root: RootName) -> Mapping[DatasetPath, Entry]:
        """The datasets of a root, which is subscribed to on demand."""
        ...

    async def members(
        self, root: RootName, below: str, after: str, most: int
    ) -> Mapping[DatasetPath, Member]:
        """Describe the first datasets of a root or directory that come after a path, in order."""
        ...

    async def dataset(self, root: RootName, path: DatasetPath) -> Dataset:
        """The current version of a dataset; `NotFound` if there is none."""
        ...

    def try_dataset(self, root: RootName, path: DatasetPath) -> Dataset | None:
        """The same if all that is needed for it is known; never blocks."""
        ...

    def listen(self, root: RootName | None) -> Listener:
        """Hear of all roots or of one from now on; `SlowDown` or `Busy` if that can't be."""
        ...

    async def prefetch(self, root: RootName, below: str) -> PrefetchStatus:
        """Begin to fetch a dataset, a directory, or a whole root where ``below`` is empty."""
        ...

    def prefetching(self, root: RootName, below: str) -> PrefetchStatus:
        """How far that is; `NotFound` if nobody asked for it."""
        ...

    def cancel_prefetch(self, root: RootName, below: str) -> PrefetchStatus:
        """End it; `NotFound` if nobody asked for it."""
        ...

    def check_writing(self, doing: str) -> None:
        """Raise `LoginNeeded` before anything is read of a request of nobody."""
        ...

    async def upload(self, place: Place, upload: Upload) -> str:
        """Take a file into a special root; where it is now.

        This and all that changes something raises `LoginNeeded` for nobody, `BadUpload`,
        `BadName` or `Conflict` for what can't be, `QuotaExceeded` or `CacheFull` for too much.
        """
        ...

    async def unpack(self, place: Place, upload: Upload) -> str:
        """The same with the files of an archive; the new directory."""
        ...

    async def append(self, place: Place, upload: Upload) -> list[int]:
        """Let an array grow by another one, a frame; its shape then."""
        ...

    async def remove(self, place: Place) -> str:
        """Remove a file, a directory, or all that is in a special root; what was removed."""
        ...

    async def move(self, source: Place, to: Place) -> str:
        """Move a file or directory; where it is now."""
        ...

    async def lazyexpr(self, place: Place, asked: Expression, *, compute: bool) -> str:
        """Store what is computed of datasets, as an expression or as its result; where that is.

        `BadExpression` if it is none, or does not fit; `NotFound` if an operand is not there.
        """
        ...

    async def copy(self, source: Place, to: Place) -> str:
        """Copy a file, a directory or a root into a special root; where the copy is."""
        ...

    def metrics(self) -> dict[str, float]:
        """Counters by their Prometheus names."""
        ...


class Readers(Protocol):
    """A subscriber as the web application sees it."""

    def for_user(self, user: User | None) -> Reader:
        """What a user sees; None is somebody who has not logged in."""
        ...
