"""The index of a catalog that changes: made when it is first needed, and then kept in step."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from caterva2.browsing.facts import KnownFacts
from caterva2.browsing.index import Index
from caterva2.limits import DEFAULTS
from caterva2.model import Entry
from caterva2.names import DatasetPath

MANY: Final = 1000
"""Changed paths from which on the index is made anew."""
Entries = Mapping[DatasetPath, Entry]


class FollowedIndex:
    """The index of one catalog, and facts of its datasets; it lives on an event loop.

    Parameters
    ----------
    max_facts : int
        Bytes of memory for these facts.

    Attributes
    ----------
    facts : KnownFacts
        Those of the present versions.
    """

    def __init__(self, max_facts: int = DEFAULTS.subscriber.search_bytes) -> None:
        self.facts = KnownFacts(max_facts)
        self._index: Index | None = None
        self._changed: set[DatasetPath] = set()
        self._following = False
        self._lock = asyncio.Lock()

    def change(self, paths: Collection[DatasetPath]) -> None:
        """Note that some entries of the catalog have changed."""
        self.facts.forget(paths)
        if not self._following:
            return
        self._changed.update(paths)
        if len(self._changed) > MANY:
            self._following, self._index = False, None
            self._changed.clear()

    async def of(self, entries: Entries, groups: Entries) -> Index:
        """Return the index of the catalog, which has these datasets and descriptions of groups.

        They may change with the catalog meanwhile: they are copied before a thread reads them.
        """
        async with self._lock:
            if self._index is None or not self._following:
                self._following = True
                self._changed.clear()
                known = [*entries.values(), *groups.values()]
                index = await asyncio.to_thread(Index.of, known)
                self._index = index if self._following else None
                return index
            if self._changed:
                changed = {path: entries.get(path) or groups.get(path) for path in self._changed}
                self._changed.clear()
                self._index = await asyncio.to_thread(self._index.changed, changed)
            return self._index
