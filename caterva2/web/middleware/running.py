"""Requests under way of users: these end with the session or token that they were made with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from caterva2.errors import CatervaError

_PAUSE_S = 0.25
"""After a change: a request that ends its own session is answered meanwhile."""


class Known(Protocol):
    """Says of whom a token is, and when that may have changed."""

    on_change: list[Callable[[], None]]

    def user_of(self, token: str) -> Awaitable[object]: ...


class Running:
    """The requests of users that are under way.

    Parameters
    ----------
    accounts : Known
    """

    def __init__(self, accounts: Known) -> None:
        self._accounts = accounts
        self._tokens: dict[asyncio.Task[Any], str] = {}
        self._ended: set[asyncio.Task[Any]] = set()
        self._check: asyncio.Task[None] | None = None
        self._again = False
        accounts.on_change.append(self._changed)

    def add(self, token: str) -> asyncio.Task[Any]:
        """Note that the task which runs now answers a request with a token; return it."""
        task = asyncio.current_task()
        assert task is not None
        self._tokens[task] = token
        return task

    def discard(self, task: asyncio.Task[Any]) -> bool:
        """Forget a request; return whether it was cut off here."""
        self._tokens.pop(task, None)
        if task not in self._ended:
            return False
        self._ended.discard(task)
        task.uncancel()
        return True

    def _changed(self) -> None:
        self._again = True
        if self._tokens and (self._check is None or self._check.done()):
            self._check = asyncio.create_task(self._cut(), name="ended sessions")

    async def _cut(self) -> None:
        """Cancel the requests whose tokens are void; those of users that are in doubt go on."""
        while self._again:
            await asyncio.sleep(_PAUSE_S)
            self._again = False
            for token in set(self._tokens.values()):
                try:
                    void = await self._accounts.user_of(token) is None
                except CatervaError:
                    continue
                for task in [task for task, its in self._tokens.items() if void and its == token]:
                    self._ended.add(task)
                    del self._tokens[task]
                    task.cancel()
