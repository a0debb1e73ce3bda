"""Staged files of special roots, discarded unless they took their place."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from caterva2.runtime.uncancellable import in_thread
from caterva2.special.directory import naming
from caterva2.special.incoming import Incoming, Staged


@contextlib.asynccontextmanager
async def staged(incoming: Incoming, *, tree: bool = False) -> AsyncIterator[Staged]:
    """A file or directory that is being made; gone at the end unless it took its place."""
    with naming("what comes in"):
        made = await in_thread(incoming.tree if tree else incoming.file)
    try:
        yield made
    finally:
        await in_thread(made.discard)
