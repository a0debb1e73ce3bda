"""Argon2id, in a few threads: it is meant to take long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2

from caterva2 import limits
from caterva2.errors import Busy

T = TypeVar("T")
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""19 MiB and two rounds, which OWASP advises: some 30 ms."""


def hashed(password: bytes) -> str:
    """What is stored of a password, with a salt of its own. Takes long."""
    return _HASHER.hash(password)


def is_of(stored: str, password: bytes) -> bool:
    """Whether a password is the one that was hashed. Takes long, whatever the result."""
    try:
        return _HASHER.verify(stored, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


class Hashing:
    """Hashes without holding up the event loop, and a bounded number at once."""

    def __init__(self) -> None:
        threads = max(1, (os.cpu_count() or 1) // 2)  # the others go on to answer who reads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobody = ""

    async def hashed(self, password: bytes) -> str:
        """What is stored of a password; `Busy` if too many wait."""
        return await self._run(lambda: hashed(password))

    async def is_of(self, stored: str | None, password: bytes) -> bool:
        """Whether a password is right; for a user that is not there (None) it takes as long."""
        if not self._nobody:
            self._nobody = await self._run(lambda: hashed(os.urandom(16)))
        right = await self._run(lambda: is_of(stored or self._nobody, password))
        return right and stored is not None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= limits.HASHES_WAITING:
            raise Busy("too many log in at once", after_ms=2000)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
