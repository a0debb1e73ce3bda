"""Argon2id password hashing in a few threads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2

from caterva2.errors import Busy
from caterva2.limits import DEFAULTS

T = TypeVar("T")
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""19 MiB and two rounds, as OWASP advises: about 30 ms."""


def hash_password(password: bytes) -> str:
    """Hash a password with a new salt; blocks for about 30 ms."""
    return HASHER.hash(password)


class Hashing:
    """Hash and verify passwords without blocking the event loop.

    Parameters
    ----------
    max_waiting : int
        Passwords that are hashed or wait for it at once.
    hasher : argon2.PasswordHasher
    """

    def __init__(
        self,
        max_waiting: int = DEFAULTS.accounts.hashes_waiting,
        hasher: argon2.PasswordHasher = HASHER,
    ) -> None:
        threads = max(1, (os.cpu_count() or 1) // 2)  # the others go on to serve readers
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._hasher = hasher
        self._max_waiting = max_waiting
        self._waiting = 0
        self._decoy = ""

    async def hash(self, password: bytes) -> str:
        """Hash a password with a new salt; `Busy` if HASHES_WAITING others wait."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: bytes) -> bool:
        """Compare a password with its hash; takes as long for an unknown user (None)."""
        if not self._decoy:
            self._decoy = await self._run(lambda: self._hasher.hash(os.urandom(16)))
        right = await self._run(lambda: self._matches(stored or self._decoy, password))
        return right and stored is not None

    def _matches(self, stored: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._max_waiting:
            raise Busy(
                f"too many passwords wait to be hashed (HASHES_WAITING={self._max_waiting})",
                after_ms=2000,
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Cancel what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)
