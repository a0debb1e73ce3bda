"""Change hints of a source, handed from the thread that waits for them to the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import NoReturn, Self

from caterva2.errors import StartError
from caterva2.sources.base import ALL, Source

log = logging.getLogger(__name__)
MANY = 10_000
"""Pending scopes beyond which one scan of everything is cheaper than a scan of each."""


class Watcher:
    """Follows `Source.changes` in a thread, and gathers scopes until they are taken.

    Used as ``async with Watcher(source) as watcher``, which starts and ends the thread.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pending: set[str] = set()
        self._some = asyncio.Event()
        self._failure: Exception | None = None
        self._stop = threading.Event()

    async def scopes(self) -> list[str]:
        """Wait for hints, and take all that have gathered.

        Raises
        ------
        StartError
            If the source can't be watched any more.
        """
        await self._some.wait()
        if self._failure is not None:
            raise StartError(f"changes can't be watched: {self._failure}")
        self._some.clear()
        taken, self._pending = self._pending, set()
        return [ALL] if ALL in taken or len(taken) > MANY else sorted(taken)

    async def follow(self, handle: Callable[[str], Awaitable[object]]) -> NoReturn:
        """Await a function for each scope in which something may have changed."""
        while True:
            for scope in await self.scopes():
                await handle(scope)

    def hint(self, scope: str) -> None:
        """Add a scope that the source gave no hint of."""
        self._add({scope})

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 2.0)

    def _watch(self) -> None:
        try:
            for scopes in self._source.changes(self._stop):
                self._loop.call_soon_threadsafe(self._add, scopes)
        except Exception as error:
            log.exception("watching failed")
            if not self._stop.is_set():
                self._loop.call_soon_threadsafe(self._fail, error)

    def _add(self, scopes: set[str]) -> None:
        self._pending |= scopes
        self._some.set()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._some.set()
