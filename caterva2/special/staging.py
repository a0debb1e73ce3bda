"""Context of a staged file: discarded at the end unless committed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from caterva2.runtime.uncancellable import in_thread
from caterva2.special.directory import os_errors
from caterva2.special.incoming import Incoming, Staged


@contextlib.asynccontextmanager
async def staged(incoming: Incoming, *, tree: bool = False) -> AsyncIterator[Staged]:
    """Stage a file, or a directory; it is discarded at the end unless committed."""
    with os_errors("the upload"):
        made = await in_thread(incoming.tree if tree else incoming.file)
    try:
        yield made
    finally:
        await in_thread(made.discard)
