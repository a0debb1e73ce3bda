"""How a service starts, runs and ends: state directory, signals, the line that says it is ready."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from caterva2 import limits
from caterva2.errors import CatervaError, StartError
from caterva2.services import heap

log = logging.getLogger(__name__)


class Service(Protocol):
    """A long-running part.

    `start` returns the line to print when the service is ready. `failed` is awaited while it
    runs and raises when it can't go on. `stop` ends everything that it owns.
    """

    async def start(self) -> str: ...

    async def failed(self) -> None: ...

    async def stop(self) -> None: ...


class StateDir:
    """A service's directory, held by one process at a time.

    Raises
    ------
    StartError
        If it can't be made or written, or another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(f"statedir {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StartError(f"statedir {path} is in use by another process") from None

    def close(self) -> None:
        os.close(self._lock)


def new_instance() -> str:
    """A name for this run of a service."""
    return secrets.token_hex(8)


def run(
    name: str, make: Callable[[], Service], loop_factory: Callable[[], Any] | None = None
) -> int:
    """Run a service until SIGTERM, SIGINT or its failure; the process's exit code."""
    heap.share()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        try:
            runner.run(_serve(name, make))
        except CatervaError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
    return 0


async def _serve(name: str, make: Callable[[], Service]) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    service = make()
    try:
        # What is there now stays to the end: looking at it for garbage would be for nothing.
        gc.collect()
        gc.freeze()
        print(f"{name}: {await service.start()}", flush=True)
        waits = [asyncio.create_task(told.wait()), asyncio.create_task(service.failed())]
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await cancel_all(waits)
        for task in done:
            task.result()
    finally:
        try:
            async with asyncio.timeout(limits.SHUTDOWN):
                await service.stop()
        except TimeoutError:
            log.warning("gave up waiting for work under way")


async def cancel_all(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Tasks:
    """The background tasks of a service; the first that fails ends the service."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
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
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        await cancel_all(list(self._tasks))
        self._failure.cancel()
