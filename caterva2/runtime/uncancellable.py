"""Work that is waited for even when nobody wants its result any more.

A thread can't be cancelled: whoever goes on without waiting for it closes files under it, or
removes what it still writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Do something as a whole; a cancellation counts when it is done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def in_thread(work: Callable[[], T]) -> T:
    """Do something blocking, and wait until its thread is done."""
    return await run_to_completion(asyncio.to_thread(work))
