"""Watch over the publishers where the broker does not say that one is gone, or not yet."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from caterva2.limits import DEFAULTS, BrokerLimits
from caterva2.names import RootName
from caterva2.runtime.tasks import until_tick
from caterva2.subscriber.publishers.connection import PublisherConnection
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.subscriber.remote_root import RemoteRoot

TICK = 0.2
"""Seconds between two judgements while the broker is not heard, or a publisher does not answer."""
TRIALS = 16
"""Connections that only probe publishers, at once."""


class Announced(Protocol):
    """State of the link to the broker, for judging publishers."""

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
    pool: ConnectionPool,
    on_judged: Callable[[RemoteRoot], None],
    limits: BrokerLimits = DEFAULTS.broker,
) -> None:
    """Judge the publishers whenever the broker is quiet, and those that may be gone in any case.

    Parameters
    ----------
    announced : Announced
    roots : mapping
        The roots that are in use.
    pool : ConnectionPool
        Of their connections.
    on_judged : callable
        Called with a root that became offline, is up again, or is taken from elsewhere.
    limits : BrokerLimits
    """
    while True:
        pool.failing.clear()
        quiet, lost = announced.quiet, not announced.connected
        for root in list(roots.values()):
            # The word of a broker that is back may be older than the publisher's end.
            doubted = quiet or root.providers.doubted
            if root.providers.judge(lost) if doubted else root.providers.settle():
                on_judged(root)
        connections = [one for root in roots.values() for one in root.providers.connections]
        give_turns(connections if lost else [one for one in connections if one.suspect])
        if quiet or any(root.providers.doubted for root in roots.values()):
            await asyncio.sleep(TICK)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_tick(min(1.0, limits.beat))):
                    await pool.failing.wait()


def give_turns(publishers: Iterable[PublisherConnection], trials: int = TRIALS) -> None:
    """Let publishers without a connection be probed, few at once, the longest untried first."""
    now, under_way = time.monotonic(), 0
    waiting: list[tuple[float, int, PublisherConnection]] = []
    for n, one in enumerate(publishers):
        under_way += one.on_trial
        since = one.waits_for_trial(now)
        if since is not None:
            waiting.append((since, n, one))
    for _, _, one in heapq.nsmallest(max(0, trials - under_way), waiting):
        one.try_out()
