"""Accounts with a clock of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from caterva2.accounts.accounts import AccountOptions, Accounts
from caterva2.accounts.policy import Policy
from caterva2.accounts.store import AccountStore

ANN, WORD = "ann@example.com", "correct horse"
Work = Callable[[Accounts], Coroutine[Any, Any, None]]


class World:
    """Accounts in a directory, with a clock that the test sets."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "accounts.sqlite"
        self.now = 1_800_000_000.0
        self.options = AccountOptions(b"secret")
        self.policy = Policy()

    def run(self, work: Work) -> None:
        async def inside() -> None:
            store = AccountStore(self.path)
            accounts = Accounts(store, self.options, self.policy, lambda: self.now)
            with contextlib.closing(accounts):
                await work(accounts)

        asyncio.run(inside())
