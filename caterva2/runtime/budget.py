"""Bytes that may be held in memory at once by everything that shares a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self

from caterva2.errors import Busy


class Hold:
    """A share of a budget, given back once; forgetting it gives it back too."""

    def __init__(self, budget: Budget, size: int) -> None:
        self.size = size
        self._budget: Budget | None = budget

    def release(self) -> None:
        """Give it back; only the first time counts."""
        if self._budget is not None:
            self._budget._give(self.size)
            self._budget = None

    def grow(self, size: int) -> None:
        """It turned out to be this much; what was not foreseen is taken without waiting."""
        if self._budget is not None:
            self._budget._give(self.size - size)
            self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give it back if what it was for went wrong; else whoever made it does so later."""
        if kind is not None:
            self.release()

    def __del__(self) -> None:
        self.release()


class Budget:
    """A number of bytes shared by the tasks of one event loop, first come, first served.

    Parameters
    ----------
    most : int
        Bytes that may be held at once. Who wants more than that gets it when nobody else
        holds anything.
    within : Budget, optional
        Of which this is a share. When the others have used it up, this one still gives to one
        at a time.
    """

    def __init__(self, most: int, within: Budget | None = None) -> None:
        self.most = most
        self.used = 0
        self._within = within
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def idle(self) -> bool:
        """Whether nobody holds or waits for anything."""
        return not self.used and not self._waiting

    async def take(self, size: int, timeout: float | None) -> Hold:
        """Wait for room and take it.

        Raises
        ------
        Busy
            If there is none within ``timeout`` seconds; None waits for ever.
        """
        hold = self.take_now(size)
        if hold is None:
            await self._wait(size, timeout)
            hold = Hold(self, size)
        return hold

    def take_now(self, size: int) -> Hold | None:
        """Take room if there is some and nobody waits for it."""
        if self._waiting or not self._fits(size):
            return None
        self._count(size)
        return Hold(self, size)

    def _fits(self, size: int) -> bool:
        return not self.used or self._has(size)

    def _has(self, size: int) -> bool:
        roomy = self._within is None or self._within._has(size)
        return roomy and self.used + size <= self.most

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
            else:  # it was granted in the same moment
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
