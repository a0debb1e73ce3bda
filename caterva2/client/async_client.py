"""AsyncClient: the client for event loops.

Requests are made by the blocking client in a few threads, so both share all code, and the event
loop only waits. Cancelling a task drops its result at once; a request that has not begun is not
made, one that has ends in its thread, within the client's timeout.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self

import blosc2

from caterva2.client.awaited.directories import AsyncGroup, AsyncRoot, wrapped
from caterva2.client.awaited.objects import AsyncDataset, AsyncFile
from caterva2.client.awaited.taking import AsyncTaking
from caterva2.client.caching import Cache
from caterva2.client.client import Client
from caterva2.client.http.transport import TIMEOUT
from caterva2.client.objects.root import Root
from caterva2.client.read.overview import Overview
from caterva2.client.threads import Threads
from caterva2.client.types import Auth, Local, Progress, RemotePath
from caterva2.limits import DEFAULTS, ClientLimits


class AsyncClient(AsyncTaking):
    """Access to the roots of a subscriber, from an event loop.

    Its methods have the parameters and results of those of `Client`.

    Parameters
    ----------
    urlbase : str, optional
        The subscriber; by default ``CATERVA2_URL`` of the environment, or this machine's.
    auth : tuple of str, optional
        Name and password.
    timeout : float
        Seconds without any byte after which a request fails.
    connections : int
        Requests at once; more wait for their turn.
    limits : ClientLimits
        Sizes of requests, tries and pauses.
    token : str, optional
        An API token, instead of name and password.
    cache, cache_quota, cache_follow
        The client's own cache, as of `Client`.

    Examples
    --------
    >>> async with caterva2.AsyncClient() as client:
    ...     dataset = await client.get("foo/dir1/ds-2d.b2nd")
    ...     values = await dataset[2:4, 5]
    """

    # Without these Python would try items 0, 1 and so on.
    __iter__ = None
    __contains__ = None

    def __init__(
        self, urlbase: str | None = None, auth: Auth | None = None, timeout: float = TIMEOUT,
        connections: int = 8, *, limits: ClientLimits = DEFAULTS.client, token: str | None = None,
        cache: Cache = None, cache_quota: str | int | None = None, cache_follow: bool = False,
    ) -> None:  # fmt: skip
        self._client: Client = Client(
            urlbase, auth, timeout, limits=limits, token=token,
            cache=cache, cache_quota=cache_quota, cache_follow=cache_follow,
        )  # fmt: skip
        self._threads = Threads(connections)
        self._run = self._threads.run

    @property
    def urlbase(self) -> str:
        """The subscriber's URL."""
        return self._client.urlbase

    async def close(self) -> None:
        """Drop the requests that have not begun, wait for the others, and close the connections.

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
        """Return all roots by name, with ``http`` (the publisher) and ``subscribed``."""
        return await self._run(self._client.get_roots)

    async def subscribe(self, root: str) -> str:
        """Subscribe to a root; return ``"Ok"``."""
        return await self._run(self._client.subscribe, root)

    async def unsubscribe(self, root: str) -> str:
        """Unsubscribe from a root, whose cached data stays; return ``"Ok"``."""
        return await self._run(self._client.unsubscribe, root)

    async def get_list(self, path: RemotePath) -> list[str]:
        """Return the paths of the files below a root or directory, relative to it."""
        return await self._run(self._client.get_list, path)

    async def get_entries(self, path: RemotePath) -> dict[str, Any]:
        """Return the entries of a root or directory by their names, not those deeper down."""
        return await self._run(self._client.get_entries, path)

    async def get_info(self, path: RemotePath) -> dict[str, Any]:
        """Return the metadata of a dataset, a file or a directory."""
        return await self._run(self._client.get_info, path)

    async def get_members(self, path: RemotePath) -> dict[str, dict[str, Any]]:
        """Return the metadata of all datasets below a root or directory, in few requests."""
        return await self._run(self._client.get_members, path)

    async def get(self, path: RemotePath) -> AsyncRoot | AsyncGroup | AsyncFile | AsyncDataset:
        """Open a root by its name, or a directory, file or dataset by its path."""
        found = await self._run(self._client.get, path)
        if isinstance(found, Root):
            return AsyncRoot(found, self._threads)
        return wrapped(found, self._threads)

    def __getitem__(
        self, path: RemotePath
    ) -> Coroutine[Any, Any, AsyncRoot | AsyncGroup | AsyncFile | AsyncDataset]:
        return self.get(path)

    async def __aiter__(self) -> AsyncIterator[str]:
        """Iterate over the names of the roots."""
        for name in sorted(await self.get_roots()):
            yield name

    # --- data ---

    async def fetch(self, path: RemotePath, slice_: Any = None) -> Any:
        """Read the values of a slice: a numpy array, or bytes of a file."""
        return await self._run(self._client.fetch, path, slice_)

    async def slice(self, path: RemotePath, slice_: Any = None) -> blosc2.NDArray | blosc2.SChunk:
        """Read a slice as a Blosc2 object: an NDArray, or an SChunk of a file's bytes."""
        return await self._run(self._client.slice, path, slice_)

    async def get_chunk(self, path: RemotePath, nchunk: int) -> bytes:
        """Return the stored, compressed bytes of chunk ``nchunk``."""
        return await self._run(self._client.get_chunk, path, nchunk)

    def get_download_url(self, path: RemotePath) -> str:
        """Return the URL of the whole file, for a browser."""
        return self._client.get_download_url(path)

    async def download(
        self, path: RemotePath, localpath: str | Path | BinaryIO | None = None,
        progress: Progress | None = None, *, key: Any = None,
    ) -> Path | None:  # fmt: skip
        """Save a file, a dataset or a part of one; ``progress`` is called in another thread."""
        return await self._run(self._client.download, path, localpath, progress, key=key)

    async def compute(
        self, expression: str, operands: Mapping[str, Any] | None = None, /, **named: Any
    ) -> Any:
        """Have the subscriber compute an expression, without storing it; return its values."""
        return await self._run(self._client.compute, expression, operands, **named)

    # --- exploring ---

    async def search(
        self, words: str = "", path: RemotePath = "", *, dtype: str = "", ndim: int | None = None,
        shape: str | int | tuple[int | None, ...] = "", attr: str = "",
        limit: int = 100, after: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Search at the subscriber for datasets; `Client.search` says how."""
        return await self._run(
            self._client.search, words, path, dtype=dtype, ndim=ndim, shape=shape, attr=attr,
            limit=limit, after=after,
        )  # fmt: skip

    async def stats(
        self, path: RemotePath, key: Any = None, *, field: str = "", part: str = "",
        exact: bool | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Return statistics of the values of a part of an array, made by the subscriber."""
        return await self._run(self._client.stats, path, key, field=field, part=part, exact=exact)

    async def overview(
        self, path: RemotePath, key: Any = None, *, size: int | None = None, reduce: str = "",
        field: str = "", part: str = "", exact: bool | None = None,
    ) -> Overview:  # fmt: skip
        """Return a plane or line of an array made small by the subscriber; `Client.overview`."""
        return await self._run(
            self._client.overview, path, key, size=size, reduce=reduce, field=field, part=part,
            exact=exact,
        )  # fmt: skip

    async def table(
        self, path: RemotePath, key: Any = None, *, start: int = 0, count: int | None = None,
        fields: Sequence[str] = (), sort: str = "", where: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Return some rows of a table, sorted and filtered; `Client.table` says how."""
        return await self._run(
            self._client.table, path, key, start=start, count=count, fields=fields, sort=sort,
            where=where,
        )  # fmt: skip

    async def me(self) -> dict[str, Any]:
        """Return who asks, what that user may do, and the quota."""
        return await self._run(self._client.me)

    async def status(self) -> dict[str, Any]:
        """Return how the subscriber is, as `Client.status` does."""
        return await self._run(self._client.status)

    # --- prefetch ---

    async def prefetch(self, path: RemotePath, key: Any = None) -> dict[str, Any]:
        """Start to fetch a whole dataset, directory or root into the subscriber's cache."""
        return await self._run(self._client.prefetch, path, key)

    async def get_prefetch(self, path: RemotePath, key: Any = None) -> dict[str, Any]:
        """Return the progress of a prefetch job, as `prefetch` does."""
        return await self._run(self._client.get_prefetch, path, key)

    async def cancel_prefetch(self, path: RemotePath, key: Any = None) -> dict[str, Any]:
        """Cancel a prefetch job; the chunks that it has fetched stay in the cache."""
        return await self._run(self._client.cancel_prefetch, path, key)

    # --- special roots ---

    async def upload(
        self, localpath: Local, path: RemotePath, progress: Progress | None = None,
        *, unpack: bool = False, etag: str | None = None,
    ) -> PurePosixPath:  # fmt: skip
        """Put a file into a special root; ``progress`` is called in another thread."""
        work = self._client.upload
        return await self._run(work, localpath, path, progress, unpack=unpack, etag=etag)

    async def append(
        self, path: RemotePath, data: Any, *, etag: str | None = None
    ) -> tuple[int, ...]:
        """Append to an array in a special root, along its first axis; return its new shape."""
        return await self._run(self._client.append, path, data, etag=etag)

    async def move(
        self, src: RemotePath, dst: RemotePath, *, etag: str | None = None
    ) -> PurePosixPath:
        """Move a file or directory within or between special roots; return its new path."""
        return await self._run(self._client.move, src, dst, etag=etag)

    async def copy(
        self, src: RemotePath, dst: RemotePath, *, etag: str | None = None
    ) -> PurePosixPath:
        """Copy a file, a directory or any root into a special root; return the copy's path."""
        return await self._run(self._client.copy, src, dst, etag=etag)

    async def remove(self, path: RemotePath, *, etag: str | None = None) -> PurePosixPath:
        """Remove a file, or a directory with its content; return its path."""
        return await self._run(self._client.remove, path, etag=etag)

    async def trash(self) -> list[dict[str, Any]]:
        """Return what was removed and can be restored, the last one first."""
        return await self._run(self._client.trash)

    async def restore(self, item: str) -> PurePosixPath:
        """Move something from the trash, by its ``id``, to where it was; return its path."""
        return await self._run(self._client.restore, item)

    async def empty_trash(self, item: str | None = None) -> int:
        """Remove something in the trash for good, or all of it; return its bytes."""
        return await self._run(self._client.empty_trash, item)

    async def lazyexpr(
        self, name: RemotePath, expression: Any, operands: Mapping[str, Any] | None = None,
        *, compute: bool = False,
    ) -> PurePosixPath:  # fmt: skip
        """Store an expression, a dataset computed from others on each read; return its path."""
        work = self._client.lazyexpr
        return await self._run(work, name, expression, operands, compute=compute)

    # --- accounts ---

    async def login(self, password: str | None = None) -> None:
        """Log in now, not with the first request; a client that was pickled needs a password."""
        await self._run(self._client.login, password)

    async def logout(self) -> None:
        """End the session; the next request begins another one."""
        await self._run(self._client.logout)

    async def change_password(self, password: str) -> None:
        """Set another password for this user; all other sessions end."""
        await self._run(self._client.change_password, password)

    async def adduser(
        self, username: str, password: str | None = None, superuser: bool = False
    ) -> str:
        """Add a user, as a superuser; return a confirmation."""
        return await self._run(self._client.adduser, username, password, superuser)

    async def deluser(self, username: str) -> str:
        """Delete a user and all their data, as a superuser; return a confirmation."""
        return await self._run(self._client.deluser, username)

    async def change_user(
        self, username: str, *, password: str | None = None, active: bool | None = None
    ) -> dict[str, Any]:
        """Set a user's password, or disable or enable the account, as a superuser."""
        change = functools.partial(self._client.change_user, password=password, active=active)
        return await self._run(change, username)

    async def listusers(self, username: str | None = None) -> list[dict[str, Any]]:
        """Return all users, or one: ``id email is_superuser is_active is_verified``."""
        return await self._run(self._client.listusers, username)

    async def get_tokens(self) -> list[dict[str, Any]]:
        """Return the user's API tokens, the oldest first."""
        return await self._run(self._client.get_tokens)

    async def make_token(
        self, name: str, roots: Sequence[str] = ("*",), *, write: bool = False,
        manage: bool = False, days: float | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Make an API token; it is in ``token`` of what is returned, and never shown again."""
        make = functools.partial(self._client.make_token, write=write, manage=manage, days=days)
        return await self._run(make, name, roots)

    async def revoke_token(self, ident: str) -> str:
        """Revoke an API token by its ``id``, with those made by it; return ``"Ok"``."""
        return await self._run(self._client.revoke_token, ident)
