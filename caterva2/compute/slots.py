"""Computation slots: a bounded number of computations at once, shared fairly among users."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from caterva2.errors import Busy
from caterva2.limits import DEFAULTS, ComputeLimits
from caterva2.runtime.fair_shares import FairShares


class FairSlots:
    """Bounds the computations at once, of all users and of each.

    No user can take all slots; when several users together have, every other user still gets one
    at a time.

    Parameters
    ----------
    limits : ComputeLimits
    """

    def __init__(self, limits: ComputeLimits = DEFAULTS.compute) -> None:
        self._limits = limits
        self._shares: FairShares[str] = FairShares(limits.computations, limits.user_computations)

    @property
    def users(self) -> int:
        """Number of users with a slot or in a queue for one."""
        return len(self._shares)

    @contextlib.asynccontextmanager
    async def slot(self, user: str) -> AsyncIterator[None]:
        """Hold one slot; all readers without login are one user, "".

        Raises
        ------
        Busy
            If none becomes free in time.
        """
        try:
            hold = await self._shares.take(user, 1, self._limits.computation_wait)
        except Busy:
            raise Busy(
                f"too many computations are running (COMPUTATIONS={self._limits.computations}, "
                f"USER_COMPUTATIONS={self._limits.user_computations})",
                after_ms=1000,
            ) from None
        try:
            yield
        finally:
            hold.release()
