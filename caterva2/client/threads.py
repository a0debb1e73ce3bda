"""Threads: a pool in which an event loop has blocking calls made."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from caterva2.client.errors import Unreachable

P = ParamSpec("P")
T = TypeVar("T")
_END = object()


class Threads:
    """Some threads for blocking calls.

    Parameters
    ----------
    count : int
        Calls at once; more wait for their turn.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="caterva2")
        self._ended = False

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self._count,))

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call in a thread and return its result."""
        if self._ended:
            raise Unreachable("the client was closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, functools.partial(work, *args, **kwargs))

    async def each(self, items: Iterator[T]) -> AsyncIterator[T]:
        """Iterate over a blocking iterator, each step in a thread."""
        while (item := await self.run(next, items, _END)) is not _END:
            yield item  # type: ignore[misc]

    async def end(self) -> None:
        """Drop the calls that have not begun, and wait for the others."""
        self._ended = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._pool.shutdown)
