"""File: a handle of a remote byte string, read by slicing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self, TypeVar

import blosc2
import numpy as np

from caterva2.client.contract import FileClient
from caterva2.client.display import FileDescription
from caterva2.client.errors import HttpError
from caterva2.client.read import keys
from caterva2.client.read import values as reading
from caterva2.client.read.values import Source
from caterva2.client.types import Progress
from caterva2.errors import BadSelection, StaleVersion
from caterva2.runtime.retry import retry_stale

T = TypeVar("T")
_MAY_BE_STALE = (400, 404, 409, 413)
"""Statuses of a request that was made for another version of the dataset."""


class File(FileDescription):
    """A byte string: a plain file, or a Blosc2 frame.

    Slicing it gives bytes; an integer gives the single byte at that position.
    """

    def __init__(
        self, client: FileClient, path: str, meta: dict[str, Any], *, pinned: bool = False
    ) -> None:
        super().__init__(path, meta)
        self._client = client
        self._known: Source | None = None
        self._is_pinned = pinned

    def pinned(self) -> Self:
        """Return a handle that reads the known version only.

        Where there is another one, its reads raise `StaleVersion` until it is refreshed. So are
        handles that were pickled.
        """
        return type(self)(self._client, str(self.path), self._meta, pinned=True)

    def __reduce__(self) -> tuple[object, ...]:
        return (_pinned, (type(self), self._client, str(self.path), self._meta))

    def __copy__(self) -> Self:
        path, pinned = str(self.path), self._is_pinned
        return type(self)(self._client, path, self._meta, pinned=pinned)

    def __deepcopy__(self, _: object) -> Self:
        return self.__copy__()  # nothing of it is ever changed in place

    @property
    def urlbase(self) -> str:
        """The subscriber's URL."""
        return self._client.urlbase

    @property
    def as_of(self) -> datetime | None:
        """When the subscriber last confirmed its description, of a client with a cache."""
        seconds = self._client.transport.kept.as_of(str(self.path), self._version)
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    def refresh(self) -> None:
        """Request the metadata again; a read that finds a new version does so by itself."""
        self._meta, self._known = self._client.get_info(self.path), None

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self.nbytes

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(f"{self.path} is not iterable: slice it, or fetch it whole")

    def __getitem__(self, key: Any) -> Any:
        """Read the bytes of a slice."""
        return self._read(lambda: self._take(key))

    def fetch(self, slice_: Any = None) -> Any:
        """Read the values of a slice, as indexing does; None selects everything."""
        return self[()] if slice_ is None else self[slice_]

    def slice(self, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """Read a slice as a Blosc2 object; None selects everything."""
        return self._read(lambda: self._frame(() if slice_ is None else slice_))

    def get_download_url(self) -> str:
        """Return the URL of the whole file, for a browser."""
        return self._client.get_download_url(self.path)

    def download(
        self, localpath: str | Path | BinaryIO | None = None, progress: Progress | None = None,
        *, key: Any = None,
    ) -> Path | None:  # fmt: skip
        """Save it, by default as ``ROOT/PATH`` below the current directory; or a part of it."""
        return self._client.download(self.path, localpath, progress, key=key)

    def prefetch(self, key: Any = None) -> dict[str, Any]:
        """Start to fetch it, or a part of it, into the subscriber's cache; `Client.prefetch`."""
        return self._client.prefetch(self.path, key)

    def take(
        self, key: Any = None, *, to: str | Path | None = None, progress: Progress | None = None
    ) -> Any:
        """Take it, or a part of it, into the client's cache or as a file; `Client.take`."""
        return self._client.take(self.path, key, to=to, progress=progress)

    def move(self, dst: str | PurePosixPath) -> PurePosixPath:
        """Move it within the special roots; return its new path. This object keeps the old one."""
        return self._client.move(self.path, dst)

    def copy(self, dst: str | PurePosixPath) -> PurePosixPath:
        """Copy it into a special root; return the copy's path."""
        return self._client.copy(self.path, dst)

    def remove(self) -> PurePosixPath:
        """Remove it from its special root; return its path."""
        return self._client.remove(self.path)

    def __dask_tokenize__(self) -> tuple[str, ...]:
        """Identify the known version for dask: equal in all processes that read it."""
        return (type(self).__name__, self.urlbase, str(self.path), self._version)

    @property
    def _source(self) -> Source:
        """The known version, as an array."""
        if self._known is None:
            self._known = self._make_source()
        return self._known

    def _make_source(self) -> Source:
        size, step = self.nbytes, int(self.meta["chunksize"])
        byte = np.dtype(np.uint8)
        return Source(str(self.path), self._version, (size,), (max(step, 1),), byte, is_bytes=True)

    @property
    def _version(self) -> str:
        return str(self.meta.get("etag", ""))

    def _take(self, key: Any) -> Any:
        region = keys.layout(key, self._source.shape).region
        return reading.values(self._client.transport, self._source, region).tobytes()

    def _frame(self, key: Any) -> blosc2.NDArray | blosc2.SChunk:
        region = keys.layout(key, self._source.shape).region
        return reading.frame(self._client.transport, self._source, region)

    def _read(self, work: Callable[[], T]) -> T:
        """Read one version; start over if there is a new one."""
        kept = self._client.transport.kept
        if kept.active and not self._is_pinned and kept.is_outdated(str(self.path), self._version):
            self.refresh()
        tries = self._client.transport.limits.tries
        return retry_stale(work, is_stale=self._was_stale, tries=tries)

    def _was_stale(self, error: Exception) -> bool:
        """Whether a read failed because it was made for an older version; learn the new one."""
        if not isinstance(error, StaleVersion | BadSelection | HttpError):
            return False
        if isinstance(error, HttpError) and error.status_code not in _MAY_BE_STALE:
            return False
        if self._is_pinned:
            self._check_pinned(error)
            return False
        old = self._version
        self.refresh()
        return isinstance(error, StaleVersion) or self._version != old

    def _check_pinned(self, error: Exception) -> None:
        """Raise `StaleVersion` if a read failed because there is another version than this one."""
        if not isinstance(error, StaleVersion):
            found = self._client.get_info(self.path)
            if str(found.get("etag", "")) == self._version:
                return
        raise StaleVersion(
            f"{self.path} has changed: this handle reads version {self._version} only; "
            "refresh() it, or open it again"
        ) from None


def _pinned(kind: type[File], client: FileClient, path: str, meta: dict[str, Any]) -> File:
    """Make a handle that was pickled: what refers to its version must not get other values."""
    return kind(client, path, meta, pinned=True)
