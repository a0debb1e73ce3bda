"""The last changes of a catalog that is not this service's own, for those who take it from here.

Pure: no sockets, no files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.names import DatasetPath


class CatalogHistory:
    """The paths that changed up to each revision of a publisher's run.

    A copy of a catalog may skip revisions: what changed between two of its states counts as changed
    at the latter.

    Parameters
    ----------
    limits : PublisherLimits, optional
        ``catalog_history`` bounds the changes that are kept.
    """

    def __init__(self, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self._max = limits.catalog_history
        self._inst = ""
        self._rev = self._base = -1
        self._steps: deque[tuple[int, DatasetPath]] = deque()

    def note(self, inst: str, rev: int, paths: Collection[DatasetPath]) -> None:
        """Note the paths that differ since the last state, which has a revision now."""
        if inst != self._inst or rev < self._rev or len(paths) > self._max:
            self._inst, self._base = inst, rev
            self._steps.clear()
        else:
            self._steps.extend((rev, path) for path in paths)
        self._rev = rev
        while len(self._steps) > self._max:
            self._base, _ = self._steps.popleft()

    def since(self, inst: str, rev: int) -> set[DatasetPath] | None:
        """Return the paths that changed after a revision; None if that is not known any more."""
        if inst != self._inst or not self._base <= rev <= self._rev:
            return None
        return {path for at, path in self._steps if at > rev}
