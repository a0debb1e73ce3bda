"""Change hints of a source, handed from the thread that waits for them to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn, Self

from caterva2.limits import DEFAULTS
from caterva2.runtime.printable import printable
from caterva2.sources.base import ALL, Source

log = logging.getLogger(__name__)
FIRST_PAUSE = 0.2
"""Seconds before a broken watch is tried again for the first time; doubles each time."""
MANY = 10_000
"""Pending scopes beyond which one scan of everything is cheaper than a scan of each."""


class Stop(threading.Event):
    """An event that a poll of descriptors waits for, too."""

    def __init__(self) -> None:
        super().__init__()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    def fileno(self) -> int:
        """Return a descriptor that can be read once the event is set."""
        return self._reading

    def set(self) -> None:
        super().set()
        with contextlib.suppress(BlockingIOError):  # it was set very often
            os.write(self._writing, b"\0")

    def close(self) -> None:
        """Release the descriptors."""
        os.close(self._writing)
        os.close(self._reading)


class Watcher:
    """Follows `Source.changes` in a thread, and gathers scopes until they are taken.

    Used as ``async with Watcher(source) as watcher``, which starts and ends the thread.

    Parameters
    ----------
    source : Source
    pause : float
        Longest time in seconds between two tries to watch while that fails. Everything is
        scanned at each try, so a broken watch makes changes slower to be seen, and no more.
    """

    def __init__(self, source: Source, pause: float = DEFAULTS.publisher.poll) -> None:
        self._source = source
        self._longest = pause
        self._pending: set[str] = set()
        self._some = asyncio.Event()
        self._stop = Stop()

    async def scopes(self) -> list[str]:
        """Wait for hints, and take all that have gathered."""
        await self._some.wait()
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
        if not self._thread.is_alive():
            self._stop.close()

    def _watch(self) -> None:
        pause, reason = FIRST_PAUSE, ""
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                for scopes in self._source.changes(self._stop):
                    self._give(scopes)
            except (OSError, RuntimeError) as error:
                if str(error) != reason:
                    reason = str(error)
                    log.warning("the watch broke, all is scanned instead: %s", printable(reason))
            except Exception:
                log.exception("the watch failed, all is scanned instead")
            if time.monotonic() - began > self._longest:
                pause = FIRST_PAUSE
            if self._stop.wait(pause):
                return
            pause = min(2 * pause, self._longest)
            self._give({ALL})

    def _give(self, scopes: set[str]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._add, scopes)

    def _add(self, scopes: set[str]) -> None:
        self._pending |= scopes
        self._some.set()
