"""AsyncRoot, AsyncGroup, AsyncContainer: directories whose requests are awaited."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy.typing as npt

from caterva2.client.awaited.objects import AsyncDataset, AsyncFile
from caterva2.client.groups.search import Attrs, Axes
from caterva2.client.groups.tree import Tree
from caterva2.client.objects.dataset import Dataset
from caterva2.client.objects.directory import LIMIT
from caterva2.client.objects.file import File
from caterva2.client.objects.group import Container, Group, OneLevel
from caterva2.client.objects.root import Root
from caterva2.client.threads import Threads
from caterva2.client.types import Progress
from caterva2.errors import BadRequest


class AsyncDirectory:
    """What a root and a directory of it have in common: trees, searches, transfers."""

    # Without these Python would try items 0, 1 and so on, and never end.
    __iter__ = None
    __contains__ = None

    def __init__(self, directory: Root | OneLevel, threads: Threads) -> None:
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

    async def take(
        self, key: Any = None, *, to: str | Path | None = None, progress: Progress | None = None
    ) -> Any:
        """Take it home, as `Client.take` does; ``progress`` is called in another thread."""
        return await self._threads.run(self._directory.take, key, to=to, progress=progress)

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


class AsyncContainer(AsyncDirectory, AsyncFile):
    """A file that holds datasets: ``await container["x"]`` opens one, any other key gives bytes.

    ``async for`` gives the names right below it; all else is as of a file.
    """

    _directory: Container

    def __init__(self, container: Container, threads: Threads) -> None:
        AsyncDirectory.__init__(self, container, threads)
        AsyncFile.__init__(self, container, threads)

    def __getitem__(self, key: Any) -> Coroutine[Any, Any, Any]:
        """Open a name, or read the bytes of a slice."""
        return self.get(key) if isinstance(key, str) else AsyncFile.__getitem__(self, key)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a table's columns in their order; none where it is no table."""
        return self._directory.columns

    async def list(self) -> list[str]:
        """Return the paths of all files below it, relative to it."""
        return await self._threads.run(self._directory.list)

    async def download(  # type: ignore[override]
        self, localpath: str | Path | BinaryIO | None = None, progress: Progress | None = None,
        *, key: Any = None,
    ) -> Path | None:  # fmt: skip
        """Save the file, by default as ``ROOT/PATH``; ``progress`` is called in a thread."""
        return await AsyncFile.download(self, localpath, progress, key=key)

    async def prefetch(self, key: Any = None) -> dict[str, Any]:
        """Start to fetch the file and what is in it, or a part of the file."""
        return await AsyncFile.prefetch(self, key)

    __repr__ = AsyncFile.__repr__


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
    if isinstance(found, Container):
        return AsyncContainer(found, threads)
    if isinstance(found, Dataset):
        return AsyncDataset(found, threads)
    return AsyncFile(found, threads)
