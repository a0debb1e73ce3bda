"""The service itself: its start page, its health and its status."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from caterva2.rest.catalogue import Way
from caterva2.rest.shapes import Count, Time, closed


@closed
class Start(TypedDict):
    """The start page."""

    name: str
    version: str
    roots: str
    openapi: str


@closed
class Health(TypedDict):
    """The health of a subscriber."""

    status: Literal["ok"]
    broker: bool
    """Whether the broker was heard lately."""
    roots: Count
    """Roots that are published now, as far as the broker said."""


@closed
class Ready(TypedDict):
    """Whether a service can serve requests now."""

    status: Literal["ready", "unready"]
    reason: str
    """Why it can't; empty if it can."""


@closed
class Quota(TypedDict):
    """Bytes of all files in the special roots."""

    used: Count
    limit: Count | None
    """Null if there is none."""


@closed
class Me(TypedDict):
    """Who asks, and what that user may do."""

    user: str | None
    """The address to log in with; null without a session."""
    superuser: bool
    """Whether the user may administer accounts."""
    accounts: bool
    """Whether there are accounts, so that users can log in."""
    register: bool
    """Whether users make accounts themselves."""
    quota: Quota | None
    """Null for those who may not write."""
    special: bool
    """Whether the user may write to special roots, expressions too."""
    compute: bool
    """Whether the user may compute without storing."""


@closed
class BrokerStatus(TypedDict):
    """The link to the broker."""

    state: Literal["up", "away", "none"]
    """``none`` for a subscriber that was started without a broker."""
    silent: float | None
    """Seconds since it was heard; null before that."""


@closed
class Provider(TypedDict):
    """A publisher or mirror that a root can be taken from."""

    name: str
    """``publisher``, or that of the mirror."""
    place: str
    """HOST:PORT."""
    hops: Count
    """Mirrors on the way."""
    state: Literal["used", "ready", "avoided", "away"]
    """Whether it is used, could be, failed a short time ago, or does not answer."""
    round_trip: float | None
    """In seconds; null before it was measured, which is done where there are several."""


@closed
class RootStatus(TypedDict):
    """A published root."""

    name: str
    state: Literal["up", "offline"]
    followed: bool
    """Whether its changes are followed."""
    publisher: str
    """HOST:PORT; empty if there is none."""
    lease: float
    """Seconds without a beat of it after which its lease expires; 0 if it has none."""
    fence: Count
    """Of its lease: each publisher of the root had a higher one than those before; 0 if none."""
    revision: int
    """Of the last catalog; -1 before the first."""
    heard: Time | None
    """When its publisher was heard last; null before that."""
    requests: Count
    """Requests to its publisher that are under way."""
    cache_reads: Count
    """Reads since the start for which all was in the cache."""
    publisher_reads: Count
    """Reads since the start that waited for the publisher."""
    way: Way | None
    """How its data comes here; null before it was opened."""
    providers: list[Provider]
    """Empty before it was opened."""


@closed
class CacheStatus(TypedDict):
    """The cache of all roots."""

    bytes: Count
    quota: Count | None
    """Null if there is none."""
    evicted: Count
    """Bytes that were removed since the start to keep the quota."""


@closed
class Workers(TypedDict):
    """The processes that answer small slices beside the subscriber itself."""

    wanted: Count
    running: Count
    restarts: Count
    """Workers that ended since the start, and were started again."""
    connections: Count
    """Connections that they have now."""


@closed
class Problem(TypedDict):
    """Something that is wrong now, or was within a quarter of an hour."""

    problem: str
    """Its name, such as ``root-offline`` or ``slow-disk``."""
    root: str
    """Empty if it is of no root."""
    text: str
    todo: str
    count: Count
    """How often it happened; 1 for a state."""
    at: Time | None
    """When it happened last; null for a state."""


@closed
class Status(TypedDict):
    """A subscriber as far as who asks may see it."""

    version: str
    started: Time
    well: bool
    """Whether there is no problem."""
    broker: BrokerStatus
    roots: list[RootStatus]
    cache: CacheStatus | None
    """Null for those who may not read metrics."""
    queues: dict[str, Count] | None
    """Null for those who may not read metrics."""
    workers: Workers | None
    """Null for those who may not read metrics, and without workers."""
    problems: list[Problem]
