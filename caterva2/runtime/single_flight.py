"""Share one run of asynchronous work among its concurrent callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from caterva2.runtime.tasks import retrieve

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Flight(Generic[V]):
    """Work under way, and how many callers wait for it."""

    def __init__(self, work: Coroutine[Any, Any, V]) -> None:
        self.task = asyncio.create_task(work)
        # All callers may have left when it fails, and no other code sees its exception.
        self.task.add_done_callback(retrieve)
        self.callers = 0


class SingleFlight(Generic[K, V]):
    """Work by key, of which each is under way at most once.

    Lives on one event loop. The work runs as a task of its own, so that a caller who is cancelled
    does not end it for the others. Its result, or its error, reaches each of its callers; nothing
    is kept afterwards.

    Parameters
    ----------
    cancel_abandoned : bool
        Whether work is cancelled when its last caller was cancelled, rather than completed.
    """

    def __init__(self, *, cancel_abandoned: bool = True) -> None:
        self._cancel_abandoned = cancel_abandoned
        self._flights: dict[K, _Flight[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    async def run(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Wait for the work of a key, which is begun if it is not under way."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._begin(key, work())
        flight.callers += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.callers -= 1
            if self._cancel_abandoned and not flight.callers and not flight.task.done():
                self._end(key, flight)  # at once: the next caller must not join what is cancelled
                flight.task.cancel()

    def _begin(self, key: K, work: Coroutine[Any, Any, V]) -> _Flight[V]:
        flight = self._flights[key] = _Flight(work)
        flight.task.add_done_callback(lambda _: self._end(key, flight))
        return flight

    def _end(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
