"""How a service starts, runs and ends: state directory, signals, the line that says it is ready."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

from caterva2 import limits
from caterva2.errors import CatervaError
from caterva2.runtime import malloc
from caterva2.runtime.tasks import cancel_all

log = logging.getLogger(__name__)


class Service(Protocol):
    """A long-running part.

    `start` returns the line to print when the service is ready. `failed` is awaited while it
    runs and raises when it can't go on. `stop` ends everything that it owns.
    """

    async def start(self) -> str: ...

    async def failed(self) -> None: ...

    async def stop(self) -> None: ...


def new_instance() -> str:
    """A name for this run of a service."""
    return secrets.token_hex(8)


def run(
    name: str, make: Callable[[], Service], loop_factory: Callable[[], Any] | None = None
) -> int:
    """Run a service until SIGTERM, SIGINT or its failure; the process's exit code."""
    malloc.share()
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
