"""Start a read over when the dataset's version changed under it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from caterva2.errors import StaleVersion

T = TypeVar("T")
TRIES = 5
"""Tries of one read in all: a dataset that changes faster than that can't be read."""
PAUSE = 0.005
"""Base, in seconds, of the full-jitter pause before the third and later tries; doubles each time.
The second try follows at once, since the new version is known by then."""


def _is_stale(error: Exception) -> bool:
    return isinstance(error, StaleVersion)


def _pause(attempt: int) -> float:
    return random.uniform(0, PAUSE * 2**attempt) if attempt else 0.0  # noqa: S311 - jitter


def retry_stale(
    work: Callable[[], T],
    *,
    is_stale: Callable[[Exception], bool] = _is_stale,
    exhausted: Callable[[], Exception] | None = None,
    tries: int = TRIES,
) -> T:
    """Do something with the current version of a dataset, again when that changed meanwhile.

    No error of an earlier try is kept: its traceback would keep alive what the try had read.

    Parameters
    ----------
    work : callable
        Looks up the version anew each time.
    is_stale : callable
        Whether an error means that the version changed; `StaleVersion` by default.
    exhausted : callable, optional
        Makes the error to raise after the last try; by default that of the last try.
    tries : int
    """
    for attempt in range(tries):
        try:
            return work()
        except Exception as error:
            if not is_stale(error) or (exhausted is None and attempt == tries - 1):
                raise
        if attempt < tries - 1:
            time.sleep(_pause(attempt))
    assert exhausted is not None
    raise exhausted()


async def retry_stale_async(
    work: Callable[[], Awaitable[T]],
    *,
    is_stale: Callable[[Exception], bool] = _is_stale,
    exhausted: Callable[[], Exception] | None = None,
    tries: int = TRIES,
) -> T:
    """Await something done with the current version of a dataset, as `retry_stale` does it."""
    for attempt in range(tries):
        try:
            return await work()
        except Exception as error:
            if not is_stale(error) or (exhausted is None and attempt == tries - 1):
                raise
        if attempt < tries - 1:
            await asyncio.sleep(_pause(attempt))
    assert exhausted is not None
    raise exhausted()
