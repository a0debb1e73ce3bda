"""Consolidated metadata of groups, which is kept for the next request where it is much."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from caterva2.formats.zarr_consolidated import Consolidated
from caterva2.limits import Limits
from caterva2.runtime.budget import Budget
from caterva2.runtime.lru import Lru
from caterva2.runtime.single_flight import SingleFlight

Key = tuple[str, str, str, int]
"""A root, its generation, a directory of it, and the version of Zarr."""
_AT_ONCE = 2


class Consolidating:
    """Makes and keeps the metadata of groups, by the generation of their roots.

    That of a group is made once for all who wait for it, and to its end although they have gone:
    a client whose time was over asks again.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._deadline = limits.wire.request_deadline
        self._kept: Lru[Key, Consolidated] = Lru(
            limits.web.consolidated_kept, lambda made: made.nbytes
        )
        self._flights: SingleFlight[Key, Consolidated] = SingleFlight(cancel_abandoned=False)
        self._turns = Budget(_AT_ONCE)

    async def get(
        self, key: Key, make: Callable[[], Coroutine[Any, Any, Consolidated]]
    ) -> Consolidated:
        """Return the metadata of a group, which is made if it is not kept.

        Raises
        ------
        Busy
            If that of too many other groups is being made.
        """
        return self._kept.get(key) or await self._flights.run(key, lambda: self._made(key, make))

    async def _made(
        self, key: Key, make: Callable[[], Coroutine[Any, Any, Consolidated]]
    ) -> Consolidated:
        hold = await self._turns.take(1, self._deadline)
        try:
            made = await make()
        finally:
            hold.release()
        self._kept.put(key, made)
        return made
