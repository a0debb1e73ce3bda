"""Watch over the publishers while the broker, which would say that one is gone, is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from caterva2.limits import DEFAULTS, BrokerLimits
from caterva2.names import RootName
from caterva2.subscriber.remote_root import RemoteRoot

TICK = 0.2
"""Seconds between two judgements while the broker is not heard."""


class Announced(Protocol):
    """What is known of the broker."""

    @property
    def connected(self) -> bool:
        """Whether it is up now."""
        ...

    @property
    def quiet(self) -> bool:
        """Whether it is late."""
        ...


async def watch_publishers(
    announced: Announced,
    roots: Mapping[RootName, RemoteRoot],
    on_judged: Callable[[RemoteRoot], None],
    limits: BrokerLimits = DEFAULTS.broker,
) -> None:
    """Judge the publishers whenever the broker is quiet, and suspect ones until they answer.

    Parameters
    ----------
    announced : Announced
    roots : mapping
        The roots that are in use.
    on_judged : callable
        Called with a root that became offline or is up again.
    limits : BrokerLimits
    """
    while True:
        quiet, lost = announced.quiet, not announced.connected
        for root in list(roots.values()):
            # The word of a broker that is back may be older than the publisher's end.
            suspect = root.where is not None and root.offline
            if (quiet or suspect) and root.judge(lost):
                on_judged(root)
        waiting = quiet or any(root.where is not None and root.offline for root in roots.values())
        await asyncio.sleep(TICK if waiting else min(1.0, limits.beat))
