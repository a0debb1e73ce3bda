"""Work that is waited for even when nobody wants its result any more.

A thread can't be cancelled: whoever goes on without waiting for it closes files under it, or
removes what it still writes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from caterva2.spaces.incoming import Incoming, Staged
from caterva2.spaces.space import naming

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Do something as a whole; a cancellation counts when it is done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def in_thread(work: Callable[[], T]) -> T:
    """Do something blocking, and wait until its thread is done."""
    return await to_its_end(asyncio.to_thread(work))


@contextlib.asynccontextmanager
async def staged(incoming: Incoming, *, tree: bool = False) -> AsyncIterator[Staged]:
    """A file or directory that is being made; gone at the end unless it took its place."""
    with naming("what comes in"):
        made = await in_thread(incoming.tree if tree else incoming.file)
    try:
        yield made
    finally:
        await in_thread(made.discard)
