"""Hints of a source's changes, brought from the thread that waits for them to the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading

from caterva2.errors import StartError
from caterva2.sources.base import ALL, Source

log = logging.getLogger(__name__)
MANY = 10_000
"""Scopes waiting to be scanned beyond which everything is scanned instead."""


class Watcher:
    """Follows `Source.changes` in a thread and gathers scopes until somebody takes them.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._pending: set[str] = set()
        self._some = asyncio.Event()
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
        self._thread.start()

    async def scopes(self) -> list[str]:
        """Wait for hints and take all that have gathered.

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

    def hint(self, scope: str) -> None:
        """Have a scope scanned that the source told nothing of."""
        self._add({scope})

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 2.0)

    def _follow(self) -> None:
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
