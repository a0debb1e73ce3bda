"""Where the blocks of chunks are, remembered for those that are read again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from caterva2 import limits
from caterva2.frames.blocks import Map


class Maps:
    """A bounded store of maps, the least recently used going first.

    Data files only grow, so what once was found at an offset is there for ever. All methods may
    be called from any thread.

    Parameters
    ----------
    most : int
        Number of maps.
    """

    def __init__(self, most: int = limits.AT_HAND_MAPS) -> None:
        self._most = most
        self._found: OrderedDict[tuple[int, int], Map | None] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, owner: int, offset: int, look: Callable[[], Map | None]) -> Map | None:
        """The map of the chunk at an offset of an owner's file; made by ``look`` if it is new."""
        key = owner, offset
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
            found = self._found[key] = look()
            while len(self._found) > self._most:
                self._found.popitem(last=False)
            return found
