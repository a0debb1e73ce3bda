"""Contracts of the web application with a subscriber: seven, and all of them as `Reader`.

All of them show a subscriber as one user sees it: a root that the user may not read does not exist
in it. Errors are those of `caterva2.errors`. Unless a method says otherwise, it may be called
again after any of them, and ``retry`` of the error says whether that helps. Every call may raise

- `NotFound` for a root, dataset or directory that does not exist or is hidden from the user,
- `RootOffline` and `DeadlineExceeded` if something has to be fetched and can't be now,
- `LoginNeeded` for what only users may do,
- `Busy` and `SlowDown` where a limit is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from caterva2.arrays.fields import FieldPath, Values
from caterva2.arrays.overviews import Overview, Survey
from caterva2.arrays.points import Points
from caterva2.arrays.selection import IntArray, Selection
from caterva2.browsing.details import RootDetails
from caterva2.errors import CatervaError
from caterva2.frames.sealed import Sealed
from caterva2.model import (
    DatasetInfo,
    Entry,
    Expression,
    PrefetchStatus,
    RootStatus,
    User,
)
from caterva2.names import DatasetPath, RootName
from caterva2.web.contracts.browsing import Browser
from caterva2.web.contracts.editing import Editor
from caterva2.web.contracts.exchanging import Exchanges
from caterva2.web.contracts.watching import Events, Monitoring


class Dataset(Protocol):
    """One version of a dataset, to be read.

    Every method raises `StaleVersion` if the dataset has another version now: open it again then.
    `SourceCorrupt` and `Damaged` are raised for chunks that the publisher can't serve.
    """

    @property
    def info(self) -> DatasetInfo: ...

    @property
    def offline(self) -> bool:
        """Whether the publisher can't be reached by any way: this version may be an old one."""
        ...

    @property
    def stored(self) -> Sealed | None:
        """The stored frame of the whole dataset; None unless it is complete."""
        ...

    @property
    def expression(self) -> Expression | None:
        """The expression that the dataset is computed of; None if it is stored."""
        ...

    @property
    def cached_chunks(self) -> int:
        """Number of chunks in the cache."""
        ...

    @property
    def cached_bytes(self) -> int:
        """Stored bytes of these chunks."""
        ...

    async def chunk(self, n: int) -> bytes:
        """Return the raw chunk ``n``, which can be decoded; `NotFound` if ``n`` is out of range."""
        ...

    async def chunks(self, ids: IntArray) -> list[bytes]:
        """Return raw chunks by their numbers, for a client that asks again by `chunk` if need be.

        Of these it is not known whether they can be decoded.
        """
        ...

    async def blocks(self, n: int, ids: Sequence[int]) -> list[bytes]:
        """Return blocks of chunk ``n``, which can be divided, each as a chunk of its own.

        If the chunk is not cached, the blocks alone are fetched where that costs less.
        """
        ...

    def try_block(self, n: int, block: int) -> bytearray | None:
        """Return a block as a chunk of its own if that takes no I/O; never block."""
        ...

    async def ready(self, selection: Selection) -> None:
        """Fetch and check the chunks that a selection touches."""
        ...

    async def values(self, selection: Selection | Points, field: FieldPath = ()) -> Values:
        """Return the selected values, or a field of them; `TooLarge` for too many chunks."""
        ...

    def try_values(self, selection: Selection | Points, field: FieldPath = ()) -> Values | None:
        """Return the selected values if that takes no I/O and little work; never block."""
        ...

    async def survey(self, asked: Survey) -> Overview:
        """Return an overview of a part of the values, which is read piece by piece."""
        ...

    async def frame(
        self, selection: Selection | Points, field: FieldPath = ()
    ) -> bytes | bytearray | Sealed:
        """Return a contiguous frame of the selected values; the stored one for the whole."""
        ...


class OperandVersion(Protocol):
    """An operand of a computation, with its ``ROOT/PATH``, in the version that is read."""

    @property
    def path(self) -> str: ...
    @property
    def etag(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...


class Cost(Protocol):
    """Bytes of chunks of operands that a computation reads, and most bytes staged at a time."""

    @property
    def read(self) -> int: ...
    @property
    def staged(self) -> int: ...


class Computation(Dataset, Protocol):
    """The result of an expression that is not stored, over one version of each operand."""

    @property
    def operands(self) -> Mapping[str, OperandVersion]:
        """The operands, by their names in the expression."""
        ...

    @property
    def cost(self) -> Cost:
        """What computing the whole result takes."""
        ...


Member = DatasetInfo | Dataset | CatervaError
"""A dataset of a directory: its description, the opened dataset, or why it can't be described."""
OnFound = Callable[[dict[DatasetPath, DatasetInfo | CatervaError]], object]


class Catalogue(Protocol):
    """Roots and the names of their datasets."""

    def roots(self) -> list[RootStatus]: ...

    async def details(self, root: RootName) -> RootDetails | None:
        """Return what is known of a root as a whole; None before its first catalog."""
        ...

    async def subscribe(self, root: RootName) -> None:
        """Follow a root; `NotFound` if the broker does not know the root.

        Without a broker it raises `RootOffline`.
        """
        ...

    async def unsubscribe(self, root: RootName) -> None:
        """Stop following a root; its cache stays."""
        ...

    async def entries(self, root: RootName) -> Mapping[DatasetPath, Entry]:
        """Return the datasets of a root, subscribing to it if necessary.

        The mapping may change with the root: copy it before another thread reads it.
        """
        ...

    async def generation(self, root: RootName) -> str:
        """Return the name of a root's catalog as it is now: another one after each change."""
        ...

    async def group(self, root: RootName, directory: str) -> DatasetInfo | None:
        """Describe a directory, or the root for ``""``; None if it has no attributes."""
        ...

    async def members(
        self, root: RootName, below: str, after: str, max_members: int, on_found: OnFound
    ) -> Mapping[DatasetPath, Member]:
        """Describe the first datasets of a root or directory behind a path, in order.

        A dataset that can't be described now has the error as its value. ``on_found`` is called in
        a thread with those that are described first.
        """
        ...

    async def browse(self, root: RootName) -> Browser:
        """Open a root to be browsed, subscribing to it if necessary."""
        ...


class Data(Protocol):
    """Datasets to be read."""

    async def dataset(self, root: RootName, path: DatasetPath) -> Dataset:
        """Open the current version of a dataset."""
        ...

    async def version(self, root: RootName, path: DatasetPath, version: str) -> Dataset:
        """Open a version of a dataset by its etag, or as it was in a generation of its root.

        `Gone` if that is neither the current version nor a cached one.
        """
        ...

    async def computation(self, asked: Expression) -> Computation:
        """Open the result of an expression; nothing is computed before it is read.

        `BadExpression` if it can't be parsed or does not fit its operands, `TooLarge` if it takes
        more than the limits of computations.
        """
        ...

    def try_dataset(self, root: RootName, path: DatasetPath) -> Dataset | None:
        """Open a dataset if its description is in memory, else return None; never block."""
        ...


class Prefetch(Protocol):
    """Fetching of datasets in the background.

    ``below`` is a dataset or a directory; where it is empty, the whole root is meant. ``part`` is a
    slice of a dataset; where it is empty, all of it is meant.
    """

    async def prefetch(self, root: RootName, below: str, part: str = "") -> PrefetchStatus:
        """Start a job, or return the one that is under way."""
        ...

    def prefetching(self, root: RootName, below: str, part: str = "") -> PrefetchStatus:
        """Return the progress of a job; `NotFound` if there is none."""
        ...

    def cancel_prefetch(self, root: RootName, below: str, part: str = "") -> PrefetchStatus:
        """End a job; `NotFound` if there is none."""
        ...


class Reader(Catalogue, Data, Editor, Prefetch, Events, Monitoring, Exchanges, Protocol):
    """A subscriber as one user sees it."""


class Readers(Protocol):
    """A subscriber as the web application sees it."""

    def for_user(self, user: User | None) -> Reader:
        """Return the subscriber as a user sees it; None stands for a client without a session."""
        ...
