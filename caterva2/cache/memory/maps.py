"""Maps of the blocks of chunks, kept for chunks that are read repeatedly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from caterva2.frames.blocks import Map
from caterva2.runtime.lru import Lru

_ABSENT: Final = object()


class Maps:
    """A bounded store of block maps.

    Data files only grow, so the map of a chunk at an offset never changes. All methods may be
    called from any thread.

    Parameters
    ----------
    max_maps : int
    """

    def __init__(self, max_maps: int) -> None:
        self._found: Lru[tuple[int, int], Map | None] = Lru(max_maps)
        self._lock = threading.Lock()

    def get(self, file: int, offset: int, make: Callable[[], Map | None]) -> Map | None:
        """Return the map of the chunk at an offset of a data file, made if it is not known."""
        key = file, offset
        with self._lock:
            known = self._found.get(key, _ABSENT)
            if known is not _ABSENT:
                return known  # type: ignore[return-value]
            made = make()
            self._found.put(key, made)
            return made
