"""Budgets: memory that the tasks of one event loop share within a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self

from caterva2.errors import Busy


class Hold:
    """Bytes taken from a budget, given back by `release` or when the last reference goes."""

    def __init__(self, budget: Budget, size: int) -> None:
        self.size = size
        self._budget: Budget | None = budget

    def release(self) -> None:
        """Give the bytes back; further calls do nothing."""
        if self._budget is not None:
            self._budget._give(self.size)
            self._budget = None

    def grow(self, size: int) -> None:
        """Change the number of bytes; what exceeds the first estimate is taken without waiting."""
        if self._budget is not None:
            self._budget._give(self.size - size)
            self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give the bytes back after an exception; else the owner of this object does so later."""
        if kind is not None:
            self.release()

    def __del__(self) -> None:
        self.release()


class Budget:
    """A number of bytes shared by the tasks of one event loop, first come, first served.

    Parameters
    ----------
    max_bytes : int
        Bytes that may be held at once. A larger request is granted when nothing else is held.
    within : Budget, optional
        The budget of which this is a share. When other shares have used it up, this one still
        grants one request at a time.
    """

    def __init__(self, max_bytes: int, within: Budget | None = None) -> None:
        self.max_bytes = max_bytes
        self.used = 0
        self._within = within
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def idle(self) -> bool:
        """Whether nothing is held and no task waits."""
        return not self.used and not self._waiting

    async def take(self, size: int, timeout: float | None) -> Hold:
        """Wait until bytes are free, and take them.

        Parameters
        ----------
        size : int
        timeout : float or None
            Seconds; None waits without a limit.

        Raises
        ------
        Busy
            If the time is over.
        """
        hold = self.take_now(size)
        if hold is None:
            await self._wait(size, timeout)
            hold = Hold(self, size)
        return hold

    def take_now(self, size: int) -> Hold | None:
        """Take bytes if they are free and no task waits for them; None otherwise."""
        if self._waiting or not self._fits(size):
            return None
        self._count(size)
        return Hold(self, size)

    def _fits(self, size: int) -> bool:
        return not self.used or self._has(size)

    def _has(self, size: int) -> bool:
        roomy = self._within is None or self._within._has(size)
        return roomy and self.used + size <= self.max_bytes

    def _count(self, size: int) -> None:
        self.used += size
        if self._within is not None:
            self._within._count(size)

    async def _wait(self, size: int, timeout: float | None) -> None:
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, ticket))
        try:
            async with asyncio.timeout(timeout):
                await ticket
        except (TimeoutError, asyncio.CancelledError) as gone:
            if ticket.cancelled():
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not ticket)
                self._serve()
            else:  # it was granted at the same time
                self._give(size)
            if isinstance(gone, TimeoutError):
                raise Busy("no memory is free for this now", after_ms=1000) from None
            raise

    def _give(self, size: int) -> None:
        self._count(-size)
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, ticket = self._waiting.popleft()
            if not ticket.done():
                self._count(size)
                ticket.set_result(None)
