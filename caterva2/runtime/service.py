"""Life cycle of a service: signals, the ready line, failure and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn, Protocol

from caterva2.errors import CatervaError
from caterva2.limits import constants
from caterva2.runtime import memory
from caterva2.runtime.logs.log import complain
from caterva2.runtime.supervision.notices import Notices, notices_of
from caterva2.runtime.tasks import cancel_all

log = logging.getLogger(__name__)
STATUS_S = 5.0
"""Seconds between two looks at the status, at most."""


class Running(Protocol):
    """A service that runs.

    It is what ``async with`` gives: entering the context starts everything, leaving it releases
    everything. A start that fails half-way raises `CatervaError` from ``__aenter__``, after all
    that it had acquired was released; ``__aexit__`` is not called then.
    """

    @property
    def ready(self) -> str:
        """The line to print, after the command's name, when the service accepts requests."""

    @property
    def status(self) -> str:
        """What the service does now, for a supervisor."""

    async def failed(self) -> None:
        """Wait for a failure that the service can't recover from, and raise it.

        Never returns otherwise. Cancelling it has no effect on the service.
        """


Service = AbstractAsyncContextManager[Running]
"""A service that is not started yet."""


def new_instance() -> str:
    """Return a random name for this run of a service."""
    return secrets.token_hex(8)


def run(
    name: str,
    make: Callable[[], Service],
    loop_factory: Callable[[], Any] | None = None,
    reload: Callable[[], None] | None = None,
) -> int:
    """Run a service until SIGTERM, SIGINT or its failure. SIGHUP does not end it.

    Parameters
    ----------
    name : str
        The command's name, for its lines on standard output and standard error.
    make : callable
        Makes the service; called on the event loop.
    loop_factory : callable, optional
        Makes the event loop.
    reload : callable, optional
        Reads the settings again, in a thread, at SIGHUP. An error is logged.

    Returns
    -------
    int
        The process's exit code.
    """
    memory.share()
    # The loop has handlers of its own, and restores the default when it is closed.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    notices = notices_of(os.environ)
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_serve(name, make, reload, notices))
    except CatervaError as error:
        complain(name, str(error))
        return error.exit_code
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        notices.close()
    return 0


async def _serve(
    name: str, make: Callable[[], Service], reload: Callable[[], None] | None, notices: Notices
) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    hangup = asyncio.Event()
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, hangup.set)
    service = make()
    # All modules are loaded now and stay to the end: looking at them again is wasted time, now too.
    gc.freeze()
    running = await service.__aenter__()
    try:
        print(f"{name}: {running.ready}", flush=True)
        notices.ready(running.status)
        more = [_notify(notices, running)]
        if reload is not None:
            more.append(_reload_at(hangup, reload, notices, running))
        await _first_of(ended, running, *more)
    finally:
        notices.stopping()
        try:
            async with asyncio.timeout(constants.SHUTDOWN):
                await service.__aexit__(None, None, None)
        except TimeoutError:
            log.warning("gave up waiting for work under way")


async def _notify(notices: Notices, running: Running) -> NoReturn:
    """Beat twice in the time that a supervisor waits, as long as the event loop runs."""
    while True:
        await asyncio.sleep(min(notices.watchdog / 2 or STATUS_S, STATUS_S))
        if notices.watchdog:
            notices.beat()
        notices.status(running.status)


async def _reload_at(
    hangup: asyncio.Event, reload: Callable[[], None], notices: Notices, running: Running
) -> NoReturn:
    """Reload the settings at each signal; signals that arrive together count once."""
    while True:
        await hangup.wait()
        hangup.clear()
        notices.reloading()
        try:
            await asyncio.to_thread(reload)
        except CatervaError as error:
            log.error("the settings stay as they were: %s", error)
        except Exception:
            log.exception("the settings could not be reloaded")
        notices.ready(running.status)


async def _first_of(
    ended: asyncio.Event, running: Running, *more: Coroutine[Any, Any, NoReturn]
) -> None:
    """Wait for a signal, or raise the service's failure; run more work meanwhile."""
    work = [ended.wait(), running.failed(), *more]
    waits = [asyncio.create_task(one) for one in work]
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    await cancel_all(waits)
    for task in done:
        task.result()
