"""Background tasks with an owner that cancels and awaits them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, Self, TypeVar

from caterva2.errors import CatervaError, StartError

log = logging.getLogger(__name__)
T = TypeVar("T")


async def cancel_all(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run works until one of them ends or fails, then cancel the others; raise its failure."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await cancel_all(tasks)


async def in_order(works: Iterable[Coroutine[Any, Any, T]], most: int) -> AsyncGenerator[T]:
    """Run up to ``most`` coroutines at a time, and yield their results in order.

    Those that run are cancelled when the generator is closed.
    """
    left, ahead = iter(works), deque[asyncio.Task[T]]()
    try:
        while True:
            ahead += [
                asyncio.create_task(work) for work in itertools.islice(left, most - len(ahead))
            ]
            if not ahead:
                return
            result = await ahead[0]
            ahead.popleft()
            yield result
    finally:
        await cancel_all(list(ahead))


def until_tick(period: float) -> float:
    """Return the seconds to the next tick of a period.

    All that waits for ticks of a period, in any process of a machine, wakes up together, and once.
    """
    return period - time.monotonic() % period


def retrieve(done: asyncio.Future[Any]) -> None:
    """Mark the exception of a future as seen; else it is logged when the future is collected."""
    if not done.cancelled():
        done.exception()


class Tasks:
    """The background tasks of a service; the first that fails ends the service.

    Used as ``async with Tasks() as tasks``, it cancels and awaits them at the end.
    """

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a coroutine in the background, under a name for the log; not after the end."""
        if self._stopped:  # nothing would cancel it
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task in self._tasks:
            self._tasks.remove(task)
        if task.cancelled() or task.exception() is None or self._failure.done():
            return
        error = task.exception()
        assert error is not None
        if not isinstance(error, CatervaError):
            log.error("%s failed", task.get_name(), exc_info=error)
            error = StartError(f"{task.get_name()} failed: {error!r}")
        self._failure.set_exception(error)

    async def failed(self) -> None:
        """Wait for the first failure and raise it."""
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        self._stopped = True
        await cancel_all(list(self._tasks))
        self._failure.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
