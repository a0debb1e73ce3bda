"""The contract of a source: a set of datasets that can be listed, described and read."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from caterva2.frames.raw import Cut, Run
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath

ALL = ""
"""The scope that stands for the whole root."""
NEVER = math.inf
"""A deadline that does not pass."""


class Datasets(ABC):
    """A set of datasets that can be listed, described and read.

    All methods may block and may be called from several threads at once. They raise

    - `NotFound` if there is no such dataset, or no such chunk: permanent;
    - `BadRequest` if a dataset of its kind has nothing of the sort, such as bytes of an array
      or bytes behind the end of a file: permanent;
    - `SourceCorrupt` or `CodecNotAllowed` if it can't be served: permanent for this version;
    - `StaleVersion` if the dataset is not the version asked for, its ``etag`` info naming the
      current one: ask again for that one;
    - `Busy` if it is being written, or the origin takes no more requests: ask again later;
    - `RootOffline` if the origin of the data can't be reached: ask again later;
    - `DeadlineExceeded` if a deadline passed: ask again, for what is still missing.

    Each call is safe to repeat, after any of these too. What is read belongs to the version
    asked for: that is checked again after the bytes were read.

    A ``deadline`` is the monotonic time at which the caller gives up. A source that waits, for
    a network say, stops waiting then and raises `DeadlineExceeded`; an iterator does so between
    two items, and what it has given until then is valid. A source that only reads local files
    may ignore it, since such a read is bounded by its size.
    """

    @abstractmethod
    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        """Return all datasets whose path is the scope or lies below it."""

    @abstractmethod
    def info(self, path: DatasetPath, deadline: float = NEVER) -> DatasetInfo:
        """Describe the current version of a dataset."""

    @abstractmethod
    def chunks(
        self, path: DatasetPath, etag: str, ids: Sequence[int], deadline: float = NEVER
    ) -> Iterator[Run]:
        """Yield raw chunks of a version of an array or frame, in the order of ``ids``.

        The iterator keeps no reference to a run that it has given: its consumer counts memory.
        """

    @abstractmethod
    def blocks(
        self, path: DatasetPath, etag: str, n: int, ids: Sequence[int], deadline: float = NEVER
    ) -> Cut:
        """Return some blocks of chunk ``n``, or all of the chunk if it can't be divided.

        A source that can read less than the chunk does so.
        """

    @abstractmethod
    def read_bytes(
        self, path: DatasetPath, etag: str, start: int, stop: int, deadline: float = NEVER
    ) -> Iterator[bytes]:
        """Yield the bytes of a version of a plain file, in pieces that it does not keep."""

    @abstractmethod
    def close(self) -> None:
        """Close files; no method is called after it."""


class Source(Datasets):
    """Datasets in files, in memory or behind a network, which may change."""

    def warm_up(self) -> None:
        """Load modules that reading needs and listing does not, ahead of the first request."""

    def remember(self) -> None:
        """Save for the next start what took long to find out."""

    @abstractmethod
    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        """Yield scopes in which something may have changed, until ``stop`` is set.

        A hint, not a promise: each scope is scanned again to see what is true. A change is
        hinted at within one full scan's interval even where the system reports nothing.
        """
