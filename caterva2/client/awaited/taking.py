"""Taking home from an event loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from caterva2.client.threads import Threads
from caterva2.client.types import Deletion, Progress, RemotePath

if TYPE_CHECKING:
    from caterva2.client.caching import Report


class AsyncTaking:
    """Calls that take data home, and bring it in step; ``progress`` is called in another thread."""

    _client: Any
    _threads: Threads

    async def take(
        self, path: RemotePath, key: Any = None, *, to: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Report:  # fmt: skip
        """Take a dataset, a part of it, a directory or a root home, as `Client.take` does."""
        work = self._client.take
        found: Report = await self._threads.run(work, path, key, to=to, progress=progress)
        return found

    async def sync(
        self, *, to: str | Path | None = None, delete: Deletion = False,
        progress: Progress | None = None,
    ) -> Report:  # fmt: skip
        """Bring what was taken in step with the subscriber, as `Client.sync` does."""
        work = self._client.sync
        found: Report = await self._threads.run(work, to=to, delete=delete, progress=progress)
        return found
