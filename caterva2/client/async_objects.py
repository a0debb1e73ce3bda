"""AsyncRoot, AsyncFile, AsyncDataset and AsyncField: remote objects whose reads are awaited."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, BinaryIO, Self

import blosc2

from caterva2.client.display import ArrayDescription, FileDescription
from caterva2.client.group import Group
from caterva2.client.objects import Dataset, Field, File
from caterva2.client.root import Root
from caterva2.client.threads import Threads
from caterva2.client.types import Progress, RemotePath


class AsyncRoot:
    """A root; ``async for`` gives the relative paths of its files.

    Attributes
    ----------
    name : str
    urlbase : str
    """

    # Without these Python would try items 0, 1 and so on, and never end.
    __iter__ = None
    __contains__ = None

    def __init__(self, root: Root, threads: Threads) -> None:
        self._root = root
        self._threads = threads
        self.name = root.name
        self.urlbase = root.urlbase

    async def file_list(self) -> list[str]:
        """Return the relative paths of all files, requested anew each time."""
        return await self._threads.run(lambda: self._root.file_list)

    async def attrs(self) -> Mapping[str, Any]:
        """Return the typed attributes, requested anew each time."""
        return await self._threads.run(lambda: self._root.attrs)

    async def get(self, path: str) -> AsyncFile | AsyncDataset:
        """Open a file or dataset by its relative path, as ``await root[path]`` does."""
        return wrapped(await self._threads.run(self._root.__getitem__, path), self._threads)

    async def items(self) -> list[tuple[str, AsyncFile | AsyncDataset]]:
        """Open all files and datasets, with their paths, in few requests."""
        opened = await self._threads.run(lambda: list(self._root.items()))
        return [(path, wrapped(found, self._threads)) for path, found in opened]

    async def upload(
        self, localpath: str | os.PathLike[str], path: str | None = None,
        progress: Progress | None = None,
    ) -> AsyncFile | AsyncDataset:  # fmt: skip
        """Put a file into this root, a special one; ``progress`` is called in another thread."""
        found = await self._threads.run(self._root.upload, localpath, path, progress)
        return wrapped(found, self._threads)

    def __getitem__(self, path: str) -> Coroutine[Any, Any, AsyncFile | AsyncDataset]:
        return self.get(path)

    async def __aiter__(self) -> AsyncIterator[str]:
        for name in await self.file_list():
            yield name

    def __repr__(self) -> str:
        return f"<AsyncRoot: {self.name}>"


class AsyncGroup:
    """A directory of a root; `Group` says what its attributes are."""

    def __init__(self, group: Group, threads: Threads) -> None:
        self._group = group
        self._threads = threads
        self.path, self.root, self.name = group.path, group.root, group.name

    @property
    def meta(self) -> dict[str, Any]:
        """All metadata from the subscriber."""
        return self._group.meta

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Typed attributes, read only."""
        return self._group.attrs

    async def list(self) -> list[str]:
        """Return the paths of all files below it, relative to it."""
        return await self._threads.run(self._group.list)

    async def refresh(self) -> None:
        """Request the metadata again."""
        await self._threads.run(self._group.refresh)

    def __repr__(self) -> str:
        return f"<Async{repr(self._group)[1:]}"


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
        self, localpath: str | Path | BinaryIO | None = None, progress: Progress | None = None
    ) -> Path | None:
        """Save the whole file, by default as ``ROOT/PATH``, with ``progress`` from a thread."""
        return await self._threads.run(self._file.download, localpath, progress)

    async def move(self, dst: RemotePath) -> PurePosixPath:
        """Move it within the special roots; return its new path. This object keeps the old one."""
        return await self._threads.run(self._file.move, dst)

    async def copy(self, dst: RemotePath) -> PurePosixPath:
        """Copy it into a special root; return the copy's path."""
        return await self._threads.run(self._file.copy, dst)

    async def remove(self) -> PurePosixPath:
        """Remove it from its special root; return its path."""
        return await self._threads.run(self._file.remove)


class AsyncDataset(ArrayDescription, AsyncFile):
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

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._threads.each(iter(self._dataset))


class AsyncField:
    """One field of a structured dataset: ``await field[:10]``."""

    __iter__ = None
    __contains__ = None

    def __init__(self, field: Field, threads: Threads) -> None:
        self.name, self.dtype, self.shape = field.name, field.dtype, field.shape
        self._field = field
        self._threads = threads

    def __getitem__(self, key: Any) -> Coroutine[Any, Any, Any]:
        return self._threads.run(self._field.__getitem__, key)

    def __repr__(self) -> str:
        return repr(self._field).replace("<Field", "<AsyncField")


def wrapped(found: File | Dataset, threads: Threads) -> AsyncFile | AsyncDataset:
    """Return the asynchronous form of a file or dataset."""
    if isinstance(found, Dataset):
        return AsyncDataset(found, threads)
    return AsyncFile(found, threads)
