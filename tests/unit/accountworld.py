"""Accounts with a clock of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import argon2

from caterva2.accounts.accounts import AccountOptions, Accounts
from caterva2.accounts.hashing import Hashing
from caterva2.accounts.policy import Policy
from caterva2.accounts.store import AccountStore
from caterva2.limits import DEFAULTS

ANN, WORD = "ann@example.com", "correct horse"
Work = Callable[[Accounts], Coroutine[Any, Any, None]]
LIMITS = DEFAULTS.accounts


class CheapHasher(argon2.PasswordHasher):
    """A hasher whose cost is not what is tested."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)


class World:
    """Accounts in a directory, with a clock that the test sets."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "accounts.sqlite"
        self.now = 1_800_000_000.0
        self.options = AccountOptions(b"secret")
        self.policy = Policy()
        self.limits = LIMITS
        self.hasher: argon2.PasswordHasher = CheapHasher()

    def run(self, work: Work) -> None:
        async def inside() -> None:
            accounts = Accounts(
                AccountStore(self.path, self.limits.user_sessions),
                self.options,
                self.policy,
                lambda: self.now,
                Hashing(self.limits.hashes_waiting, self.hasher),
                self.limits,
            )
            with contextlib.closing(accounts):
                await work(accounts)

        asyncio.run(inside())
