"""AsyncFile, AsyncDataset, AsyncField: files and arrays whose reads are awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, BinaryIO, Self

import blosc2

from caterva2.client.display import ArrayDescription, FileDescription
from caterva2.client.lazy.arithmetic import Reducing
from caterva2.client.lazy.expression import AsyncExpression
from caterva2.client.lazy.term import Term
from caterva2.client.objects.dataset import Dataset, Field
from caterva2.client.objects.file import File
from caterva2.client.read.overview import Overview
from caterva2.client.threads import Threads
from caterva2.client.types import Progress, RemotePath


class AsyncFile(FileDescription):
    """A byte string; its reads are awaited: ``await file[:10]``."""

    __iter__ = None
    __contains__ = None

    def __init__(self, file: File, threads: Threads) -> None:
        super().__init__(str(file.path), file.meta)
        self._file = file
        self._threads = threads

    @property
    def meta(self) -> dict[str, Any]:
        """The subscriber's metadata, as of the last request for it."""
        return self._file.meta

    @property
    def urlbase(self) -> str:
        """The subscriber's URL."""
        return self._file.urlbase

    @property
    def as_of(self) -> datetime | None:
        """When the subscriber last confirmed its description, of a client with a cache."""
        return self._file.as_of

    async def refresh(self) -> None:
        """Request the metadata again; a read that finds a new version does so by itself."""
        await self._threads.run(self._file.refresh)

    def pinned(self) -> Self:
        """Return a handle that reads the known version only; `File.pinned` says how."""
        return type(self)(self._file.pinned(), self._threads)

    def __len__(self) -> int:
        return len(self._file)

    def __getitem__(self, key: Any) -> Coroutine[Any, Any, Any]:
        return self._threads.run(self._file.__getitem__, key)

    async def fetch(self, slice_: Any = None) -> Any:
        """Read the values of a slice, as indexing does; None selects everything."""
        return await self._threads.run(self._file.fetch, slice_)

    async def slice(self, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """Read a slice as a Blosc2 object; None selects everything."""
        return await self._threads.run(self._file.slice, slice_)

    def get_download_url(self) -> str:
        """Return the URL of the whole file, for a browser."""
        return self._file.get_download_url()

    async def download(
        self, localpath: str | Path | BinaryIO | None = None, progress: Progress | None = None,
        *, key: Any = None,
    ) -> Path | None:  # fmt: skip
        """Save it or a part, by default as ``ROOT/PATH``, with ``progress`` from a thread."""
        return await self._threads.run(self._file.download, localpath, progress, key=key)

    async def prefetch(self, key: Any = None) -> dict[str, Any]:
        """Start to fetch it, or a part of it, into the subscriber's cache."""
        return await self._threads.run(self._file.prefetch, key)

    async def take(
        self, key: Any = None, *, to: str | Path | None = None, progress: Progress | None = None
    ) -> Any:
        """Take it home, as `Client.take` does; ``progress`` is called in another thread."""
        return await self._threads.run(self._file.take, key, to=to, progress=progress)

    async def move(self, dst: RemotePath) -> PurePosixPath:
        """Move it within the special roots; return its new path. This object keeps the old one."""
        return await self._threads.run(self._file.move, dst)

    async def copy(self, dst: RemotePath) -> PurePosixPath:
        """Copy it into a special root; return the copy's path."""
        return await self._threads.run(self._file.copy, dst)

    async def remove(self) -> PurePosixPath:
        """Remove it from its special root; return its path."""
        return await self._threads.run(self._file.remove)


class AsyncDataset(ArrayDescription, Reducing, AsyncFile):
    """An array; ``await dataset[2:4, 5]`` gives numpy arrays, ``async for`` its rows."""

    def __init__(self, dataset: Dataset, threads: Threads) -> None:
        super().__init__(dataset, threads)
        self._dataset = dataset

    @property
    def fields(self) -> Mapping[str, AsyncField]:
        """Fields of a structured dtype by their names; their reads are awaited."""
        known = self._dataset.fields.items()
        return MappingProxyType({name: AsyncField(one, self._threads) for name, one in known})

    async def append(self, data: Any) -> tuple[int, ...]:
        """Append to it along its first axis, in a special root; return its new shape."""
        return await self._threads.run(self._dataset.append, data)

    async def stats(
        self, key: Any = None, *, field: str = "", part: str = "", exact: bool | None = None
    ) -> dict[str, Any]:
        """Return statistics of all values or of a part, made by the subscriber."""
        return await self._threads.run(
            self._dataset.stats, key, field=field, part=part, exact=exact
        )

    async def overview(self, key: Any = None, **how: Any) -> Overview:
        """Return a plane or line of it made small by the subscriber, as `Client.overview` does."""
        return await self._threads.run(self._dataset.overview, key, **how)

    async def get_chunk(self, nchunk: int) -> bytes:
        """Return the bytes of a chunk of the known version, as they are stored."""
        return await self._threads.run(self._dataset.get_chunk, nchunk)

    async def aget_chunk(self, nchunk: int) -> bytes:
        """Return the bytes of a chunk, as `get_chunk` does."""
        return await self.get_chunk(nchunk)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._threads.each(iter(self._dataset))

    @property
    def _term(self) -> Term:
        return self._dataset._term

    def _expression(self, term: Term) -> AsyncExpression:
        return AsyncExpression(self._dataset._expression(term), self._threads)

    def _computed(self, term: Term) -> Any:
        return self._threads.run(self._dataset._computed, term)


class AsyncField(Reducing):
    """One field of a structured dataset: ``await field[:10]``."""

    __iter__ = None
    __contains__ = None

    def __init__(self, field: Field, threads: Threads) -> None:
        self.name, self.dtype, self.shape = field.name, field.dtype, field.shape
        self._field = field
        self._threads = threads

    @property
    def _term(self) -> Term:
        return self._field._term

    def _expression(self, term: Term) -> AsyncExpression:
        return AsyncExpression(self._field._expression(term), self._threads)

    def _computed(self, term: Term) -> Any:
        return self._threads.run(self._field._computed, term)

    def __getitem__(self, key: Any) -> Coroutine[Any, Any, Any]:
        return self._threads.run(self._field.__getitem__, key)

    def __repr__(self) -> str:
        return repr(self._field).replace("<Field", "<AsyncField")
