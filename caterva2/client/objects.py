"""File, Dataset and Field: handles of remote files and arrays, read by slicing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, BinaryIO, Self, TypeVar

import blosc2
import numpy as np
import numpy.typing as npt

from caterva2.client.contract import FileClient
from caterva2.client.display import ArrayDescription, FileDescription
from caterva2.client.errors import HttpError
from caterva2.client.exports import ArrayExports
from caterva2.client.lazy.arithmetic import Reducing
from caterva2.client.lazy.expression import Expression
from caterva2.client.lazy.term import Place, Term, joined
from caterva2.client.read import frames, keys, stored
from caterva2.client.read import values as reading
from caterva2.client.read.values import Source
from caterva2.client.types import Progress
from caterva2.errors import BadSelection, StaleVersion
from caterva2.runtime.printable import printable
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


class Dataset(ArrayDescription, ArrayExports, Reducing, File):
    """An array; slicing it transfers only the selection and follows numpy.

    All of numpy's indexing works: negative numbers and steps, ``...``, ``np.newaxis``, integer
    arrays, masks, and the names of fields. Operators make an `Expression`, and reductions are
    computed by the subscriber.
    """

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a dataset without dimensions")
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Read the values of a slice, or of a field, as numpy gives them."""
        if isinstance(key, str):
            return self._read(lambda: self._take(..., key))
        if isinstance(key, list) and key and all(isinstance(name, str) for name in key):
            return self._read(lambda: self._take_fields(key))
        return self._read(lambda: self._take(key))

    def __iter__(self) -> Iterator[Any]:
        """Iterate along the first axis of the known version, some chunks per request.

        Raises
        ------
        StaleVersion
            If the dataset changes meanwhile.
        """
        if not self.shape:
            raise TypeError("iteration over a dataset without dimensions")
        source = self._source
        row = max(source.dtype.itemsize * math.prod(source.shape[1:]), 1)
        chunk = max(source.chunks[0], 1)
        limits = self._client.transport.limits
        # Whole chunks, unless a single one is too much.
        rows = limits.piece // (row * chunk) * chunk or max(min(chunk, limits.window // row), 1)
        for start in range(0, source.shape[0], rows):
            chosen = keys.layout(slice(start, start + rows), source.shape)
            found = reading.values(self._client.transport, source, chosen.region)
            yield from chosen.arrange(found)

    @property
    def fields(self) -> Mapping[str, Field]:
        """Fields of a structured dtype by their names, each to be sliced like the dataset."""
        return MappingProxyType({name: Field(self, name) for name in self.dtype.names or ()})

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.path} is remote: an array of it is always a copy")
        values = np.asarray(self[...])
        return values if dtype is None else values.astype(dtype, copy=False)

    def get_chunk(self, nchunk: int) -> bytes:
        """Return the bytes of a chunk of the known version, as they are stored.

        Raises
        ------
        StaleVersion
            If the dataset has another version.
        """
        return stored.chunk(self._client.transport, str(self.path), self._version, nchunk)

    async def aget_chunk(self, nchunk: int) -> bytes:
        """Return the bytes of a chunk as `get_chunk` does, which runs in a thread."""
        return await asyncio.to_thread(self.get_chunk, nchunk)

    def append(self, data: Any) -> tuple[int, ...]:
        """Append to it along its first axis, in a special root; return its new shape."""
        shape = self._client.append(self.path, data)
        self.refresh()
        return shape

    @property
    def _term(self) -> Term:
        etag = self._version if self._is_pinned else ""
        return Term((Place(self.urlbase, str(self.path), etag),))

    def _expression(self, term: Term) -> Expression:
        return Expression(self._client, term)

    def _computed(self, term: Term) -> Any:
        return self._expression(term).compute()

    def _make_source(self) -> Source:
        return Source(str(self.path), self._version, self.shape, self.chunks, self.dtype)

    def _take(self, key: Any, field: str = "") -> Any:
        source = self._source
        dtype = _field_dtype(source, field) if field else source.dtype
        if dtype.subdtype is not None:
            return self._take(key)[field]
        chosen = keys.layout(key, source.shape)
        if chosen.is_empty:
            return np.empty(chosen.shape, dtype)
        found = reading.values(self._client.transport, source, chosen.region, field)
        return chosen.arrange(found)

    def _take_fields(self, names: list[str]) -> Any:
        for name in names:
            _field_dtype(self._source, name)
        return self._take(...)[names]

    def _frame(self, key: Any) -> blosc2.NDArray | blosc2.SChunk:
        source = self._source
        chosen = keys.layout(key, source.shape)
        if chosen.region.is_fancy or chosen.shape != chosen.region.result_shape:
            return frames.pack(np.asarray(self._take(key), source.dtype))
        return reading.frame(self._client.transport, source, chosen.region)


class Field(Reducing):
    """One field of a structured dataset; slicing it transfers no other field.

    Attributes
    ----------
    name : str
    """

    def __init__(self, dataset: Dataset, name: str) -> None:
        self._dataset = dataset
        self.name = name

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the field's items."""
        return self._dataset.dtype[self.name].base

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dataset, and of the field's items if they are arrays."""
        return self._dataset.shape + self._dataset.dtype[self.name].shape

    @property
    def _term(self) -> Term:
        return joined(self._dataset._term, f"[{self.name!r}]")

    def _expression(self, term: Term) -> Expression:
        return self._dataset._expression(term)

    def _computed(self, term: Term) -> Any:
        return self._dataset._computed(term)

    def __dask_tokenize__(self) -> tuple[str, ...]:
        return (*self._dataset.__dask_tokenize__(), self.name)

    def __getitem__(self, key: Any) -> Any:
        """Read the field in a slice of the dataset."""
        return self._dataset._read(lambda: self._dataset._take(key, self.name))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.name} is remote: an array of it is always a copy")
        values = np.asarray(self[...])
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"<Field: {printable(self.name)} of {self._dataset!r}>"


def _pinned(kind: type[File], client: FileClient, path: str, meta: dict[str, Any]) -> File:
    """Make a handle that was pickled: what refers to its version must not get other values."""
    return kind(client, path, meta, pinned=True)


def _field_dtype(source: Source, name: str) -> np.dtype[Any]:
    if source.dtype.fields is None or name not in source.dtype.fields:
        known = ", ".join(source.dtype.names or ()) or "none"
        raise BadSelection(f"{source.path} has no field {name!r}; known are: {known}")
    return source.dtype[name]
