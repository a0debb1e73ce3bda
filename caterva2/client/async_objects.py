"""AsyncRoot, AsyncGroup, AsyncFile, AsyncDataset, AsyncField: remote objects that are awaited."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, BinaryIO, Self, overload

import blosc2
import numpy.typing as npt

from caterva2.client.display import ArrayDescription, FileDescription
from caterva2.client.group import LIMIT, Group
from caterva2.client.groups.search import Attrs, Axes
from caterva2.client.groups.tree import Tree
from caterva2.client.lazy.arithmetic import Reducing
from caterva2.client.lazy.expression import AsyncExpression
from caterva2.client.lazy.term import Term
from caterva2.client.objects import Dataset, Field, File
from caterva2.client.root import Root
from caterva2.client.threads import Threads
from caterva2.client.types import Progress, RemotePath
from caterva2.errors import BadRequest


class AsyncDirectory:
    """What a root and a directory of it have in common: trees, searches, transfers."""

    # Without these Python would try items 0, 1 and so on, and never end.
    __iter__ = None
    __contains__ = None

    def __init__(self, directory: Root | Group, threads: Threads) -> None:
        self._directory = directory
        self._threads = threads

    async def get(self, path: str) -> AsyncGroup | AsyncFile | AsyncDataset:
        """Open what a relative path names, as ``await directory[path]`` does."""
        found = await self._threads.run(self._directory.__getitem__, path)
        return wrapped(found, self._threads)

    def __getitem__(self, path: str) -> Coroutine[Any, Any, AsyncGroup | AsyncFile | AsyncDataset]:
        return self.get(path)

    async def keys(self) -> list[str]:
        """Return the keys: of a root the paths of all files, of a directory one level of names."""
        return await self._threads.run(lambda: list(self._directory))

    async def items(self) -> list[tuple[str, AsyncGroup | AsyncFile | AsyncDataset]]:
        """Open all keys, with these, in few requests."""
        opened = await self._threads.run(lambda: list(self._directory.items()))
        return [(path, wrapped(found, self._threads)) for path, found in opened]

    async def tree(self, limit: int = LIMIT) -> Tree:
        """Return the files below it by levels, with shapes and dtypes, in few requests."""
        return await self._threads.run(self._directory.tree, limit)

    async def find(
        self, *, dtype: npt.DTypeLike | None = None, shape: Axes | None = None,
        ndim: int | None = None, name: str | None = None, attr: Attrs | None = None,
        limit: int = LIMIT,
    ) -> list[AsyncFile | AsyncDataset]:  # fmt: skip
        """Find files and datasets below it, a request for each thousand of them."""
        found = await self._threads.run(
            self._directory.find, dtype=dtype, shape=shape, ndim=ndim, name=name, attr=attr,
            limit=limit,
        )  # fmt: skip
        return [wrapped(one, self._threads) for one in found]

    async def download(
        self, localpath: str | Path | None = None, progress: Progress | None = None
    ) -> Path:
        """Save all files below it; ``progress`` is called in another thread."""
        return await self._threads.run(self._directory.download, localpath, progress)

    async def prefetch(self) -> dict[str, Any]:
        """Start to fetch all of it into the subscriber's cache."""
        return await self._threads.run(self._directory.prefetch)

    async def __aiter__(self) -> AsyncIterator[str]:
        for name in await self.keys():
            yield name

    def __repr__(self) -> str:
        return f"<Async{repr(self._directory)[1:]}"


class AsyncRoot(AsyncDirectory):
    """A root; ``async for`` gives the relative paths of its files.

    Attributes
    ----------
    name : str
    urlbase : str
    """

    def __init__(self, root: Root, threads: Threads) -> None:
        super().__init__(root, threads)
        self._root = root
        self.name = root.name
        self.urlbase = root.urlbase

    async def file_list(self) -> list[str]:
        """Return the relative paths of all files, requested anew each time."""
        return await self.keys()

    async def attrs(self) -> Mapping[str, Any]:
        """Return the typed attributes, requested anew each time."""
        return await self._threads.run(lambda: self._root.attrs)

    async def upload(
        self, localpath: str | os.PathLike[str], path: str | None = None,
        progress: Progress | None = None,
    ) -> AsyncFile | AsyncDataset:  # fmt: skip
        """Put a file into this root, a special one; ``progress`` is called in another thread."""
        found = await self._threads.run(self._root.upload, localpath, path, progress)
        return wrapped(found, self._threads)


class AsyncGroup(AsyncDirectory):
    """A directory of a root; ``async for`` gives the names right below it.

    `Group` says what its attributes are. One of `items` is described once `refresh` was awaited.
    """

    def __init__(self, group: Group, threads: Threads) -> None:
        super().__init__(group, threads)
        self._group = group
        self.path, self.root, self.name = group.path, group.root, group.name

    @property
    def meta(self) -> dict[str, Any]:
        """All metadata from the subscriber, as of the last request for it."""
        if not self._group.is_described:
            raise BadRequest(f"{self.path} is not described yet: await refresh() first")
        return self._group.meta

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Typed attributes, read only."""
        _ = self.meta
        return self._group.attrs

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a table's columns in their order; none where it is no table."""
        _ = self.meta
        return self._group.columns

    async def refresh(self) -> None:
        """Request the metadata again."""
        await self._threads.run(self._group.refresh)

    async def list(self) -> list[str]:
        """Return the paths of all files below it, relative to it."""
        return await self._threads.run(self._group.list)


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


@overload
def wrapped(found: File | Dataset, threads: Threads) -> AsyncFile | AsyncDataset: ...


@overload
def wrapped(
    found: Group | File | Dataset, threads: Threads
) -> AsyncGroup | AsyncFile | AsyncDataset: ...


def wrapped(
    found: Group | File | Dataset, threads: Threads
) -> AsyncGroup | AsyncFile | AsyncDataset:
    """Return the asynchronous form of a directory, file or dataset."""
    if isinstance(found, Group):
        return AsyncGroup(found, threads)
    if isinstance(found, Dataset):
        return AsyncDataset(found, threads)
    return AsyncFile(found, threads)
