"""FairSlots at computing, which all users share."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from caterva2 import limits
from caterva2.errors import Busy
from caterva2.runtime.budget import Budget, Hold


class FairSlots:
    """A number of computations at once, some of them for each user.

    Nobody can take them all; when several together have, everybody else still has one at a time.
    """

    def __init__(self) -> None:
        self._all = Budget(limits.COMPUTATIONS)
        self._shares: dict[str, Budget] = {}

    @contextlib.asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[None]:
        """One of the turns, for a user; "" is whoever has not logged in.

        Raises
        ------
        Busy
            If none is free in time.
        """
        share = self._shares.get(user)
        if share is None:
            share = self._shares[user] = Budget(limits.USER_COMPUTATIONS, within=self._all)
        try:
            hold = await _taken(share)
            try:
                yield
            finally:
                hold.release()
        finally:
            if share.idle:
                self._shares.pop(user, None)


async def _taken(share: Budget) -> Hold:
    try:
        return await share.take(1, limits.REQUEST_DEADLINE)
    except Busy:
        raise Busy(
            f"as much is computed already as there may be at once, by COMPUTATIONS, "
            f"{limits.COMPUTATIONS}, or USER_COMPUTATIONS, {limits.USER_COMPUTATIONS}",
            after_ms=1000,
        ) from None
