"""The contract between a publisher and what it serves."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from caterva2.frames.raw import Cut, Run
from caterva2.model import DatasetInfo, Entry
from caterva2.names import DatasetPath

ALL = ""
"""The scope that stands for the whole root."""


class Source(ABC):
    """A set of datasets that can be listed, described and read.

    All methods may block and may be called from several threads at once. They raise

    - `NotFound` if there is no such dataset, or no such chunk: permanent;
    - `StaleVersion` if the dataset is not the version asked for: ask again for the new one;
    - `SourceCorrupt` or `CodecNotAllowed` if it can't be served: permanent for this version.

    Each call is safe to repeat. What is read belongs to the version asked for: that is
    checked again after the bytes were read.
    """

    @abstractmethod
    def scan(self, scope: str = ALL) -> dict[DatasetPath, Entry]:
        """All datasets whose path is the scope or lies below it."""

    @abstractmethod
    def info(self, path: DatasetPath) -> DatasetInfo:
        """Describe the current version of a dataset."""

    @abstractmethod
    def chunks(self, path: DatasetPath, etag: str, ids: Sequence[int]) -> Iterator[Run]:
        """Raw chunks of a version of an array or frame, in the order asked for.

        The iterator keeps no run that it has given: memory is counted by who takes it.
        """

    @abstractmethod
    def blocks(self, path: DatasetPath, etag: str, n: int, ids: Sequence[int]) -> Cut:
        """Some blocks of chunk ``n``, or all of the chunk where it can't be divided.

        A source that can read less than the chunk does so.
        """

    @abstractmethod
    def read_bytes(self, path: DatasetPath, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of a version of a plain file, in pieces that the iterator does not keep."""

    def warm_up(self) -> None:  # noqa: B027 - most sources have nothing to do
        """Load what reading needs and listing does not, ahead of the first request."""

    def remember(self) -> None:  # noqa: B027 - most sources find everything out at once
        """Keep for the next start what took long to find out."""

    @abstractmethod
    def changes(self, stop: threading.Event) -> Iterator[set[str]]:
        """Scopes in which something may have changed, until told to stop.

        A hint, not a promise: each scope is scanned again to see what is true. It comes at
        most a scan's interval late even where the system tells nothing.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of files; nothing is called after it."""
