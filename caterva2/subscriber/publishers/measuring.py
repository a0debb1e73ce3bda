"""Measure the round trips to the providers of a root."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping

from caterva2.errors import BadMessage, CatervaError
from caterva2.names import RootName
from caterva2.subscriber.publishers.choice import Fault, Provider, fault_of
from caterva2.subscriber.publishers.connection import HELLO, PublisherConnection
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.wire import messages

EVERY = 30.0
"""Seconds between two measurements of a place, whatever roots it serves."""
LIMIT = 5.0
"""Seconds that each of the two answers may take."""
FORGET = 600.0
"""Seconds after which a place that is not measured any more is forgotten."""


class Measuring:
    """Greet the providers of one root from time to time.

    Parameters
    ----------
    name : RootName
    pool : ConnectionPool
    connections : mapping
        Of the providers by their names, as they are now.
    on_measured : callable
        Called with a provider that answered, and the answer.
    on_failed : callable
        Called with a provider that did not, and why.
    """

    def __init__(
        self,
        name: RootName,
        pool: ConnectionPool,
        connections: Mapping[str, PublisherConnection],
        on_measured: Callable[[str, messages.PublisherHello], None],
        on_failed: Callable[[str, Fault, CatervaError], None],
    ) -> None:
        self._name = name
        self._pool = pool
        self._connections = connections
        self._on_measured = on_measured
        self._on_failed = on_failed
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, providers: Mapping[str, Provider], now: float) -> None:
        """Measure those that were not measured for a while."""
        trips = self._pool.trips
        for name, one in providers.items():
            if name not in self._tasks and trips.is_due(one.place, now, EVERY):
                trips.forget_old(now, FORGET)
                trips.begun(one.place, now)
                measured = self._measure(name, one.place, self._connections[name])
                task = asyncio.create_task(measured)
                self._tasks[name] = task
                task.add_done_callback(functools.partial(self._ended, name))

    def _ended(self, name: str, _: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)

    async def _measure(self, name: str, place: str, one: PublisherConnection) -> None:
        """Use a connection of its own: others have answers under way."""
        try:
            async with self._pool.measuring, one.beside() as connection:
                await connection.ask(HELLO, LIMIT)
                began = time.monotonic()
                hello = await connection.ask(HELLO, LIMIT)
                now = time.monotonic()
            if not isinstance(hello, messages.PublisherHello) or hello.root != self._name:
                raise BadMessage(f"{place} does not serve {self._name}")
        except CatervaError as error:
            if name in self._connections:
                wrong = fault_of(error, of_publisher=False) is Fault.WRONG
                self._on_failed(name, Fault.WRONG if wrong else Fault.SLOW, error)
            return
        self._pool.trips.measured(place, now - began, now)
        if name in self._connections:
            self._on_measured(name, hello)

    async def stop(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
