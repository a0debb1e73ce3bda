"""Buckets and web servers as stores, by obstore: S3, Google Cloud Storage, Azure, HTTP.

Credentials come from the environment alone, as obstore reads them; they are in no message.
"""

from __future__ import annotations

import asyncio
import bisect
import concurrent.futures
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from caterva2.errors import DeadlineExceeded, NotFound, RootOffline, SourceCorrupt, StartError
from caterva2.limits import DEFAULTS, PublisherLimits, constants
from caterva2.sources.base import NEVER
from caterva2.stores import deadlines
from caterva2.stores.store import Enter, Stamp, Store, too_large

T = TypeVar("T")
BUCKETS = ("s3", "gs", "az", "abfs", "abfss")
WEB = ("http", "https")
HEADS = 16
"""Objects that are asked for at once where a server has no list."""
AGAIN_MS = 1000
_AFTER_SLASH = chr(ord("/") + 1)
Meta = dict[str, Any]


def stamp_of(meta: Meta) -> Stamp:
    """Return the stamp of an object: its ETag if it has one, else its time."""
    modified, size = meta["last_modified"], meta["size"]
    text = meta["e_tag"] or f"modified {modified.isoformat()}"
    return Stamp(f"{text} {size}", size, modified.timestamp())


class _Loop:
    """An event loop in a thread of its own, on which requests run and can be given up."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a result, until the deadline of this thread's call."""
        deadline = deadlines.current()
        left = None if deadline == NEVER else max(0.0, deadline - time.monotonic())
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(left)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise DeadlineExceeded("the store of the data did not answer in time") from None

    def close(self) -> None:
        """End the requests that were given up or are under way, and then the loop."""
        ended = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        concurrent.futures.wait([ended], constants.SHUTDOWN)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(constants.SHUTDOWN)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class RemoteStore(Store):
    """Objects below a URL.

    Parameters
    ----------
    url : str
    limits : PublisherLimits, optional
    index : str, optional
        Of a web server: the object that lists the others, a key on each line. Without one the
        server has to answer WebDAV's requests for lists.

    Raises
    ------
    StartError
        If the URL makes no sense, or obstore is missing.
    """

    def __init__(
        self, url: str, limits: PublisherLimits = DEFAULTS.publisher, index: str = ""
    ) -> None:
        self._shown = url
        self._limits = limits
        self._index = index
        self._kept: tuple[list[str], float] = [], -math.inf
        """All keys of the index in their order, and the time until which they hold."""
        self._obstore, self._store = _opened(url, limits)
        self._loop = _Loop()

    def close(self) -> None:
        self._loop.close()

    # --- lists ---

    def renew(self) -> None:
        self._kept = [], -math.inf

    def children(self, prefix: str) -> tuple[dict[str, Stamp], list[str]]:
        if self._index:
            return self._run(self._indexed_children(prefix), prefix)
        return self._run(self._children(prefix), prefix)

    async def _children(self, prefix: str) -> tuple[dict[str, Stamp], list[str]]:
        found = await self._obstore.list_with_delimiter_async(self._store, prefix or None)
        if len(found["objects"]) > self._limits.listed_objects:
            raise self._too_many()
        skipped = len(prefix) + 1 if prefix else 0
        files = {meta["path"][skipped:]: stamp_of(meta) for meta in found["objects"]}
        folders = [path[skipped:] for path in found["common_prefixes"]]
        return {name: stamp for name, stamp in files.items() if name}, folders

    def below(self, prefix: str, enter: Enter) -> Iterator[tuple[str, Stamp]]:
        listed = self._indexed(prefix) if self._index else self._listed(prefix)
        yield from self._run(_gathered(listed, self._limits.listed_objects, self._too_many), prefix)

    async def _listed(self, prefix: str) -> AsyncIterator[tuple[str, Stamp]]:
        skipped = len(prefix) + 1 if prefix else 0
        async for batch in self._obstore.list(self._store, prefix or None, chunk_size=1000):
            for meta in batch:
                yield meta["path"][skipped:], stamp_of(meta)

    def _too_many(self) -> SourceCorrupt:
        most = self._limits.listed_objects
        return SourceCorrupt(f"{self._shown} has more than LISTED_OBJECTS ({most}) objects")

    # --- lists of servers without lists ---

    async def _keys(self, prefix: str) -> list[str]:
        """Return the keys below a prefix, by the index as it was at most a scan ago."""
        keys, until = self._kept
        if time.monotonic() >= until:
            keys = await self._all_keys()
            self._kept = keys, time.monotonic() + self._limits.poll
        if not prefix:
            return keys
        start, end = f"{prefix}/", prefix + _AFTER_SLASH
        found = keys[bisect.bisect_left(keys, start) : bisect.bisect_left(keys, end)]
        return [key[len(start) :] for key in found if key != start]

    async def _all_keys(self) -> list[str]:
        found = await self._obstore.get_async(self._store, self._index)
        if found.meta["size"] > constants.FRAME_TRAILER:
            raise too_large(self._index, found.meta["size"], constants.FRAME_TRAILER)
        lines = bytes(await found.bytes_async()).decode("utf-8", "replace").split("\n")
        if len(lines) > self._limits.listed_objects:
            raise self._too_many()
        return sorted({line.strip() for line in lines} - {""})

    async def _indexed_children(self, prefix: str) -> tuple[dict[str, Stamp], list[str]]:
        keys = await self._keys(prefix)
        names = [key for key in keys if "/" not in key]
        folders = sorted({key.partition("/")[0] for key in keys if "/" in key})
        return dict(await self._heads(prefix, names)), folders

    async def _indexed(self, prefix: str) -> AsyncIterator[tuple[str, Stamp]]:
        for found in await self._heads(prefix, await self._keys(prefix)):
            yield found

    async def _heads(self, prefix: str, keys: Sequence[str]) -> list[tuple[str, Stamp]]:
        some = asyncio.Semaphore(HEADS)

        async def head(key: str) -> tuple[str, Stamp] | None:
            async with some:
                try:
                    path = f"{prefix}/{key}".strip("/")
                    return key, stamp_of(await self._obstore.head_async(self._store, path))
                except FileNotFoundError:
                    return None

        found = await asyncio.gather(*map(head, keys))
        return [item for item in found if item is not None]

    # --- objects ---

    def read(
        self,
        key: str,
        most: int,
        start: int = 0,
        stop: int | None = None,
        expected: Stamp | None = None,
    ) -> tuple[bytes, Stamp] | None:
        try:
            return self._run(self._read(key, most, start, stop, expected), key)
        except NotFound:
            return None

    async def _read(
        self, key: str, most: int, start: int, stop: int | None, expected: Stamp | None
    ) -> tuple[bytes, Stamp]:
        if stop is not None and stop <= start:
            return b"", stamp_of(await self._obstore.head_async(self._store, key))
        options: dict[str, Any] = {}
        if start < 0:
            options["range"] = {"suffix": -start}
        elif stop is not None:
            options["range"] = (start, stop)
        elif start:
            options["range"] = {"offset": start}
        etag = expected.text.rpartition(" ")[0] if expected is not None else ""
        if etag.startswith('"'):  # neither a weak one nor a time
            options["if_match"] = etag
        try:
            found = await self._obstore.get_async(self._store, key, options=options)
        except self._obstore.exceptions.PreconditionError:
            return b"", stamp_of(await self._obstore.head_async(self._store, key))
        begin, end = found.range
        if end - begin > most:
            raise too_large(key, end - begin, most)
        return bytes(await found.bytes_async()), stamp_of(found.meta)

    def _run(self, work: Coroutine[Any, Any, T], key: str) -> T:
        exceptions = self._obstore.exceptions
        try:
            return self._loop.run(work)
        except FileNotFoundError:
            raise NotFound(f"{key} does not exist") from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            reason = "it may not be read with the credentials of the environment"
            raise RootOffline(f"{self._shown}: {reason}", after_ms=AGAIN_MS) from None
        except (exceptions.BaseError, OSError) as error:
            reason = str(error).partition("\n")[0][:200]
            raise RootOffline(f"{self._shown} can't be read: {reason}", after_ms=AGAIN_MS) from None


async def _gathered(
    items: AsyncIterator[tuple[str, Stamp]], most: int, too_many: Callable[[], Exception]
) -> list[tuple[str, Stamp]]:
    found: list[tuple[str, Stamp]] = []
    async for item in items:
        if len(found) >= most:
            raise too_many()
        found.append(item)
    return found


def _opened(url: str, limits: PublisherLimits) -> tuple[Any, Any]:
    """Return obstore, and its store of a URL."""
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise StartError(
            f"{parts.scheme}://{parts.hostname}/...: write the URL without user, password, ? and #;"
            " credentials are taken from the environment"
        )
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError:
        hint = "pip install 'caterva2[objectstore]'"
        raise StartError(f"{url} needs obstore: {hint}") from None
    plain = parts.scheme == "http" or os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true"
    try:
        store = obstore.store.from_url(
            url,
            client_options={
                "allow_http": plain,
                "timeout": timedelta(seconds=limits.object_timeout),
                "connect_timeout": timedelta(seconds=limits.object_timeout),
            },
            retry_config={
                "max_retries": limits.object_retries,
                "retry_timeout": timedelta(seconds=2 * limits.object_timeout),
            },
        )
    except (obstore.exceptions.BaseError, ValueError) as error:
        raise StartError(f"{url} can't be used: {str(error).partition(chr(10))[0][:200]}") from None
    return obstore, store
