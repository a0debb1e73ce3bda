"""The asynchronous twin of the client: the same, with ``await``.

Requests are made by the blocking client in a few threads, so both read the same code, and the
event loop only waits. Cancelling a task gives up its result at once; a request that was not
begun is not made, one that was ends in its thread, within the client's time limit.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, BinaryIO, ParamSpec, Self, TypeVar

import blosc2

from caterva2.client.arranging import RemotePath
from caterva2.client.client import Client
from caterva2.client.display import ArrayDescription, FileDescription
from caterva2.client.http.connections import Unreachable
from caterva2.client.http.session import Auth
from caterva2.client.http.transport import TIMEOUT
from caterva2.client.objects import Dataset, Field, File, Root
from caterva2.client.read.download import Progress
from caterva2.client.writing import Local

P = ParamSpec("P")
T = TypeVar("T")
_END = object()


class _Threads:
    """A few threads in which blocking calls are made."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="caterva2")
        self._ended = False

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._ended:
            raise Unreachable("the client was closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, functools.partial(work, *args, **kwargs))

    async def each(self, items: Iterator[T]) -> AsyncIterator[T]:
        """The items of a blocking iterator."""
        while (item := await self.run(next, items, _END)) is not _END:
            yield item  # type: ignore[misc]

    async def end(self) -> None:
        """Make no further call, and wait for those that were begun."""
        self._ended = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._pool.shutdown)


class AsyncClient:
    """Access to the roots of a subscriber, from an event loop.

    Parameters
    ----------
    urlbase : str, optional
        As for `Client`.
    auth : tuple of str, optional
        As for `Client`.
    timeout : float
        Seconds without any byte after which a request fails.
    connections : int
        Requests that are made at once; more wait for their turn.

    Examples
    --------
    >>> async with caterva2.AsyncClient() as client:
    ...     dataset = await client.get("foo/dir1/ds-2d.b2nd")
    ...     values = await dataset[2:4, 5]
    """

    def __init__(
        self,
        urlbase: str | None = None,
        auth: Auth | None = None,
        timeout: float = TIMEOUT,
        connections: int = 8,
    ) -> None:
        self._client = Client(urlbase, auth, timeout)
        self._threads = _Threads(connections)

    @property
    def urlbase(self) -> str:
        return self._client.urlbase

    async def close(self) -> None:
        """Wait for the requests that were begun, drop the others, and close the connections.

        The client can't be used afterwards.
        """
        await self._threads.end()
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient: {self.urlbase}>"

    # --- catalogue ---

    async def get_roots(self) -> dict[str, dict[str, Any]]:
        """As `Client.get_roots`."""
        return await self._threads.run(self._client.get_roots)

    async def subscribe(self, root: str) -> str:
        """As `Client.subscribe`."""
        return await self._threads.run(self._client.subscribe, root)

    async def unsubscribe(self, root: str) -> str:
        """As `Client.unsubscribe`."""
        return await self._threads.run(self._client.unsubscribe, root)

    async def get_list(self, path: RemotePath) -> list[str]:
        """As `Client.get_list`."""
        return await self._threads.run(self._client.get_list, path)

    async def get_info(self, path: RemotePath) -> dict[str, Any]:
        """As `Client.get_info`."""
        return await self._threads.run(self._client.get_info, path)

    async def get_members(self, path: RemotePath) -> dict[str, dict[str, Any]]:
        """As `Client.get_members`."""
        return await self._threads.run(self._client.get_members, path)

    async def get(self, path: RemotePath) -> AsyncRoot | AsyncFile | AsyncDataset:
        """As `Client.get`."""
        found = await self._threads.run(self._client.get, path)
        return AsyncRoot(self, found) if isinstance(found, Root) else _twin(found, self._threads)

    async def prefetch(self, path: RemotePath) -> dict[str, Any]:
        """As `Client.prefetch`."""
        return await self._threads.run(self._client.prefetch, path)

    async def get_prefetch(self, path: RemotePath) -> dict[str, Any]:
        """As `Client.get_prefetch`."""
        return await self._threads.run(self._client.get_prefetch, path)

    async def cancel_prefetch(self, path: RemotePath) -> dict[str, Any]:
        """As `Client.cancel_prefetch`."""
        return await self._threads.run(self._client.cancel_prefetch, path)

    # --- accounts ---

    async def login(self) -> None:
        """As `Client.login`."""
        await self._threads.run(self._client.login)

    async def logout(self) -> None:
        """As `Client.logout`."""
        await self._threads.run(self._client.logout)

    async def change_password(self, password: str) -> None:
        """As `Client.change_password`."""
        await self._threads.run(self._client.change_password, password)

    async def adduser(
        self, username: str, password: str | None = None, superuser: bool = False
    ) -> str:
        """As `Client.adduser`."""
        return await self._threads.run(self._client.adduser, username, password, superuser)

    async def deluser(self, username: str) -> str:
        """As `Client.deluser`."""
        return await self._threads.run(self._client.deluser, username)

    async def listusers(self, username: str | None = None) -> list[dict[str, Any]]:
        """As `Client.listusers`."""
        return await self._threads.run(self._client.listusers, username)

    # --- data ---

    async def fetch(self, path: RemotePath, slice_: Any = None) -> Any:
        """As `Client.fetch`."""
        return await self._threads.run(self._client.fetch, path, slice_)

    async def slice(self, path: RemotePath, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """As `Client.slice`."""
        return await self._threads.run(self._client.slice, path, slice_)

    async def get_chunk(self, path: RemotePath, nchunk: int) -> bytes:
        """As `Client.get_chunk`."""
        return await self._threads.run(self._client.get_chunk, path, nchunk)

    def get_download_url(self, path: RemotePath) -> str:
        """As `Client.get_download_url`."""
        return self._client.get_download_url(path)

    async def download(
        self,
        path: RemotePath,
        localpath: str | Path | BinaryIO | None = None,
        progress: Progress | None = None,
    ) -> Path | None:
        """As `Client.download`; ``progress`` is called in another thread."""
        return await self._threads.run(self._client.download, path, localpath, progress)

    # --- the special roots ---

    async def upload(
        self,
        localpath: Local,
        path: RemotePath,
        progress: Progress | None = None,
        *,
        unpack: bool = False,
    ) -> PurePosixPath:
        """As `Client.upload`; ``progress`` is called in another thread."""
        return await self._threads.run(
            self._client.upload, localpath, path, progress, unpack=unpack
        )

    async def append(self, path: RemotePath, data: Any) -> tuple[int, ...]:
        """As `Client.append`."""
        return await self._threads.run(self._client.append, path, data)

    async def move(self, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        """As `Client.move`."""
        return await self._threads.run(self._client.move, src, dst)

    async def copy(self, src: RemotePath, dst: RemotePath) -> PurePosixPath:
        """As `Client.copy`."""
        return await self._threads.run(self._client.copy, src, dst)

    async def lazyexpr(
        self,
        name: RemotePath,
        expression: Any,
        operands: Mapping[str, Any] | None = None,
        *,
        compute: bool = False,
    ) -> PurePosixPath:
        """As `Client.lazyexpr`."""
        work = self._client.lazyexpr
        return await self._threads.run(work, name, expression, operands, compute=compute)

    async def remove(self, path: RemotePath) -> PurePosixPath:
        """As `Client.remove`."""
        return await self._threads.run(self._client.remove, path)


class AsyncRoot:
    """A root; ``async for`` gives the relative paths of its files.

    Attributes
    ----------
    name : str
    urlbase : str
    """

    def __init__(self, client: AsyncClient, root: Root) -> None:
        self._client = client
        self.name = root.name
        self.urlbase = root.urlbase

    async def file_list(self) -> list[str]:
        """Relative paths of all files, as of now."""
        return await self._client.get_list(self.name)

    async def get(self, path: str) -> AsyncFile | AsyncDataset:
        """A file or dataset by its relative path; the same as ``await root[path]``."""
        threads = self._client._threads
        found = await threads.run(Root(self._client._client, self.name).__getitem__, path)
        return _twin(found, threads)

    async def items(self) -> list[tuple[str, AsyncFile | AsyncDataset]]:
        """All files and datasets with their paths, opened in few requests."""
        threads = self._client._threads
        opened = await threads.run(lambda: list(Root(self._client._client, self.name).items()))
        return [(path, _twin(found, threads)) for path, found in opened]

    async def upload(
        self,
        localpath: str | os.PathLike[str],
        path: str | None = None,
        progress: Progress | None = None,
    ) -> AsyncFile | AsyncDataset:
        """As `Root.upload`; ``progress`` is called in another thread."""
        threads = self._client._threads
        root = Root(self._client._client, self.name)
        return _twin(await threads.run(root.upload, localpath, path, progress), threads)

    def __getitem__(self, path: str) -> Coroutine[Any, Any, AsyncFile | AsyncDataset]:
        return self.get(path)

    # Without these Python would ask for item 0, 1 and so on, and never end.
    __iter__ = None
    __contains__ = None

    async def __aiter__(self) -> AsyncIterator[str]:
        for name in await self.file_list():
            yield name

    def __repr__(self) -> str:
        return f"<AsyncRoot: {self.name}>"


class AsyncFile(FileDescription):
    """A byte string; what reads it is awaited: ``await file[:10]``."""

    def __init__(self, file: File, threads: _Threads) -> None:
        super().__init__(str(file.path), file.meta)
        self._file = file
        self._threads = threads

    @property
    def meta(self) -> dict[str, Any]:
        return self._file.meta

    @property
    def urlbase(self) -> str:
        return self._file.urlbase

    async def refresh(self) -> None:
        """As `File.refresh`."""
        await self._threads.run(self._file.refresh)

    __iter__ = None
    __contains__ = None

    def __len__(self) -> int:
        return len(self._file)

    def __getitem__(self, key: Any) -> Coroutine[Any, Any, Any]:
        return self._threads.run(self._file.__getitem__, key)

    async def fetch(self, slice_: Any = None) -> Any:
        """As `File.fetch`."""
        return await self._threads.run(self._file.fetch, slice_)

    async def slice(self, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """As `File.slice`."""
        return await self._threads.run(self._file.slice, slice_)

    def get_download_url(self) -> str:
        """As `File.get_download_url`."""
        return self._file.get_download_url()

    async def download(
        self, localpath: str | Path | BinaryIO | None = None, progress: Progress | None = None
    ) -> Path | None:
        """As `File.download`; ``progress`` is called in another thread."""
        return await self._threads.run(self._file.download, localpath, progress)

    async def move(self, dst: RemotePath) -> PurePosixPath:
        """As `File.move`."""
        return await self._threads.run(self._file.move, dst)

    async def copy(self, dst: RemotePath) -> PurePosixPath:
        """As `File.copy`."""
        return await self._threads.run(self._file.copy, dst)

    async def remove(self) -> PurePosixPath:
        """As `File.remove`."""
        return await self._threads.run(self._file.remove)


class AsyncDataset(ArrayDescription, AsyncFile):
    """An array; ``await dataset[2:4, 5]`` gives numpy arrays, ``async for`` its rows."""

    def __init__(self, dataset: Dataset, threads: _Threads) -> None:
        super().__init__(dataset, threads)
        self._dataset = dataset

    @property
    def fields(self) -> Mapping[str, AsyncField]:
        """As `Dataset.fields`; what reads one is awaited."""
        known = self._dataset.fields.items()
        return MappingProxyType({name: AsyncField(one, self._threads) for name, one in known})

    async def append(self, data: Any) -> tuple[int, ...]:
        """As `Dataset.append`."""
        return await self._threads.run(self._dataset.append, data)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._threads.each(iter(self._dataset))


class AsyncField:
    """One field of the records of a dataset: ``await field[:10]``."""

    __iter__ = None
    __contains__ = None

    def __init__(self, field: Field, threads: _Threads) -> None:
        self.name, self.dtype, self.shape = field.name, field.dtype, field.shape
        self._field = field
        self._threads = threads

    def __getitem__(self, key: Any) -> Coroutine[Any, Any, Any]:
        return self._threads.run(self._field.__getitem__, key)

    def __repr__(self) -> str:
        return repr(self._field).replace("<Field", "<AsyncField")


def _twin(found: File | Dataset, threads: _Threads) -> AsyncFile | AsyncDataset:
    if isinstance(found, Dataset):
        return AsyncDataset(found, threads)
    return AsyncFile(found, threads)
