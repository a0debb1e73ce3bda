"""Work that runs to completion even if its caller is cancelled.

A thread can't be cancelled: a caller that does not wait for it may close files that it reads, or
remove files that it still writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from caterva2.runtime.tasks import retrieve

T = TypeVar("T")


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; a cancellation of the caller takes effect after it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        retrieve(task)
        raise


async def in_thread(work: Callable[[], T]) -> T:
    """Run a blocking function in a thread, and wait for its end even if cancelled."""
    return await run_to_completion(asyncio.to_thread(work))
