"""A mapping that drops its least recently used entries to stay within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar, overload

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")


class Lru(Generic[K, V]):
    """Entries bounded by their number, or by the sum of their sizes.

    `get` may be called from any thread at any time. Methods that add or remove entries hold no
    lock: where several threads call them, the owner serialises them.

    Parameters
    ----------
    max_size : int
        Number of entries, or the sum of their sizes where ``getsize`` is given.
    getsize : callable, optional
        Size of a value, which must not change while the value is held: put a changed value anew.
    on_evict : callable, optional
        Called with the key and the value of an entry that was dropped to stay within the bound.
    keep_newest : bool
        Whether a value that exceeds the bound on its own is held until the next one is put,
        rather than not at all.

    Attributes
    ----------
    size : int
        Number of entries, or the sum of their sizes.
    """

    def __init__(
        self,
        max_size: int,
        getsize: Callable[[V], int] | None = None,
        on_evict: Callable[[K, V], None] | None = None,
        *,
        keep_newest: bool = False,
    ) -> None:
        self.max_size = max_size
        self.size = 0
        self._getsize = getsize
        self._on_evict = on_evict
        self._keep_newest = keep_newest
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        """Iterate over a copy of the keys, the least recently used first."""
        return iter(list(self._entries))

    @overload
    def get(self, key: K) -> V | None: ...

    @overload
    def get(self, key: K, default: D) -> V | D: ...

    def get(self, key: K, default: D | None = None) -> V | D | None:
        """Return a value and mark it as used now."""
        try:
            self._entries.move_to_end(key)
            return self._entries[key]
        except KeyError:
            return default

    def peek(self, key: K) -> V | None:
        """Return a value without marking it as used."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Hold a value as the most recently used one, and drop others to stay within the bound."""
        self.pop(key)
        size = 1 if self._getsize is None else self._getsize(value)
        if size > self.max_size and not self._keep_newest:
            return
        self._entries[key] = value
        self.size += size
        while self.size > self.max_size and len(self._entries) > 1:
            self._evict()

    def _evict(self) -> None:
        key, value = self._entries.popitem(last=False)  # one step, whatever `get` moves meanwhile
        self._uncount(value)
        if self._on_evict is not None:
            self._on_evict(key, value)

    def pop(self, key: K) -> V | None:
        """Remove an entry and return its value, None if there is no such entry."""
        if key not in self._entries:
            return None
        value = self._entries.pop(key)
        self._uncount(value)
        return value

    def _uncount(self, value: V) -> None:
        self.size -= 1 if self._getsize is None else self._getsize(value)

    def clear(self) -> None:
        """Remove all entries; they do not count as evicted."""
        self._entries.clear()
        self.size = 0
