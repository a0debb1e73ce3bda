"""Changed datasets of all roots: their number, and old versions to remove from the cache."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping

from caterva2.model import ChangeEvent, Entry
from caterva2.names import DatasetPath, RootName, is_group
from caterva2.subscriber.remote_root import RemoteRoot

log = logging.getLogger(__name__)
TIDY_S = 4.0
"""Seconds between two times of saving catalogs and removing old versions."""


class ChangedPaths:
    """The datasets whose version changed.

    Attributes
    ----------
    count : int
        Changes since the start.
    """

    def __init__(self) -> None:
        self.count = 0
        self._changed: dict[RootName, set[DatasetPath]] = {}

    def record(self, root: RootName, paths: set[DatasetPath]) -> None:
        """Count changes, and keep their paths until old versions are removed."""
        self.count += len(paths)
        self._changed.setdefault(root, set()).update(paths)

    async def tidy(self, known: Mapping[RootName, RemoteRoot]) -> None:
        """Save the catalogs of roots, and remove what is cached of old versions, from time to time.

        Runs until it is cancelled.
        """
        while True:
            await asyncio.sleep(TIDY_S)
            roots = list(known.values())
            await self.remove_old(roots)
            for root in roots:
                await root.tidy()

    async def remove_old(self, roots: Iterable[RemoteRoot]) -> None:
        """Remove what is cached of old versions of the changed datasets."""
        changed, self._changed = self._changed, {}
        for root in roots:
            if root.name in changed:
                await asyncio.to_thread(_remove_old, root, changed[root.name])


def _remove_old(root: RemoteRoot, paths: set[DatasetPath]) -> None:
    for path in paths:
        try:
            root.forget_old(path)
        except OSError as error:
            log.error("old versions of %s/%s stay: %s", root.name, path, error)


def change_events(
    root: RootName, paths: Iterable[DatasetPath], entries: Mapping[DatasetPath, Entry]
) -> Iterator[ChangeEvent]:
    """Yield what clients hear of changed datasets, by what they are now; groups are not shown."""
    for path in paths:
        entry = entries.get(path)
        if entry is not None:
            yield ChangeEvent(root, path, "put", entry.etag)
        elif not is_group(path):
            yield ChangeEvent(root, path, "delete", "")
