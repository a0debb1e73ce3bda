"""Bound how many connections to publishers stay open."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Protocol

from caterva2.limits import DEFAULTS, SubscriberLimits
from caterva2.model import Origin, RootInfo
from caterva2.names import RootName
from caterva2.subscriber.publishers import places
from caterva2.subscriber.publishers.choice import RoundTrips
from caterva2.subscriber.publishers.preferences import Preferences
from caterva2.subscriber.trust.pins import Pins
from caterva2.wire.auth.curve import PLAIN, Links
from caterva2.wire.calls import AsksFor
from caterva2.wire.messages import DataReply, Request

MEASURED = 4
"""Round trips that are measured at once."""


class Releasable(Protocol):
    """Something that holds a connection, which it can open again."""

    @property
    def held(self) -> bool:
        """Whether the connection must stay."""
        ...

    def release(self) -> None:
        """Close the connection as soon as nothing is under way."""
        ...


class Upstream(Protocol):
    """Makes what asks for roots over HTTP, and knows by which others these come."""

    def origin(self, name: RootName) -> Origin | None:
        """Return where the data of a root is from; None if it does not come by HTTP."""
        ...

    def requester(
        self,
        name: RootName,
        on_failing: Callable[[], None],
        complete: Callable[[Request], Request],
    ) -> AsksFor[DataReply]: ...


class ConnectionPool:
    """The open connections of all roots, the least recently used first.

    Each takes a thread and six descriptors.

    Parameters
    ----------
    limits : SubscriberLimits
    links : Links, optional
        How they are protected.
    locate : callable, optional
        Has the name in an endpoint resolved, see `Networks.located`.
    preferences : Preferences, optional
        Of providers.
    pins : Pins, optional
        Keys with which origins sign.

    Attributes
    ----------
    links : Links
    locate : callable
    mirror_of : callable
        Gives the name by which this subscriber serves a root again; empty if it does not.
    mirrors_beside : bool
        Whether it does so at the broker that announces the root to it.
    preferences : Preferences
    pins : Pins
    trips : RoundTrips
        To the places of all providers.
    measuring : asyncio.Semaphore
        Bounds the round trips that are measured at once.
    name : str
        Of this subscriber, among those by which data comes; another one with each start.
    upstream : Upstream or None
        Makes the connections to roots that come over HTTP.
    failing : asyncio.Event
        Set when one of them was lost or refused.
    """

    def __init__(
        self,
        limits: SubscriberLimits = DEFAULTS.subscriber,
        links: Links = PLAIN,
        locate: Callable[[str], str] = str,
        preferences: Preferences | None = None,
        pins: Pins | None = None,
    ) -> None:
        self.pins = pins or Pins()
        self.preferences = preferences or Preferences()
        self.trips = RoundTrips()
        self.measuring = asyncio.Semaphore(MEASURED)
        self.links = links
        self.locate = locate
        self.name = secrets.token_hex(8)
        self.upstream: Upstream | None = None
        self._max = limits.connections
        self._open: dict[Releasable, None] = {}
        self.failing = asyncio.Event()
        self.mirror_of: Callable[[RootName], str] = _no_mirror
        self.mirrors_beside = True

    def places(self, where: RootInfo | None, root: RootName) -> dict[str, RootInfo]:
        """Return where the providers of a root are by their names."""
        own, beside = self.mirror_of(root), self.mirrors_beside
        return places.found(where, self.preferences, own, beside=beside)

    def name_of(self, root: RootName) -> str:
        """Return the name of this subscriber as those see it that take a root from it."""
        return self.mirror_of(root) or self.name

    def use(self, connection: Releasable) -> None:
        """Count a connection as the one used last; close the ones unused for longest."""
        self._open.pop(connection, None)
        self._open[connection] = None
        for other in list(self._open):
            if len(self._open) <= self._max:
                return
            if other is not connection and not other.held:
                del self._open[other]
                other.release()

    def drop(self, connection: Releasable) -> None:
        """Forget a connection that was closed."""
        self._open.pop(connection, None)


def _no_mirror(_root: RootName) -> str:
    """Return no name: nothing is served again."""
    return ""
