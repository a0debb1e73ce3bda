"""Results of reductions that are kept."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any

from caterva2.arrays.fields import Values
from caterva2.limits import DEFAULTS
from caterva2.runtime.lru import Lru
from caterva2.runtime.single_flight import SingleFlight


class ResultCache:
    """Results of reductions, least recently used first out, bounded in bytes.

    Parameters
    ----------
    max_bytes : int
    """

    def __init__(self, max_bytes: int = DEFAULTS.compute.computed_kept) -> None:
        self._max_bytes = max_bytes
        self._kept: Lru[Hashable, Values] = Lru(max_bytes, lambda values: values.nbytes)
        self._flights: SingleFlight[Hashable, Values] = SingleFlight()

    async def get(
        self, key: Hashable, compute: Callable[[], Coroutine[Any, Any, Values]]
    ) -> Values:
        """Return the result of a key; concurrent callers share one computation of it."""
        found = self._kept.get(key)
        if found is None:
            found = await self._flights.run(key, partial(self._compute, key, compute))
        return found

    async def _compute(
        self, key: Hashable, compute: Callable[[], Coroutine[Any, Any, Values]]
    ) -> Values:
        found = await compute()
        if found.nbytes <= self._max_bytes // 2:  # one result never drops all others
            self._kept.put(key, found)
        return found
