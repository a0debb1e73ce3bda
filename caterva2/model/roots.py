"""Roots: who serves them, and what happens to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field

from caterva2.limits import constants
from caterva2.model.fields import TTL_MS, Count, Endpoint, Model, Rights, Root, Token
from caterva2.names import DatasetPath, RootName

MirrorName = Annotated[
    str, Field(min_length=1, max_length=constants.MIRROR_NAME, pattern=r"^[A-Za-z0-9_.-]+$")
]
"""Of a subscriber that serves roots again: random, and another one for each state directory."""
MirrorPath = Annotated[tuple[MirrorName, ...], Field(max_length=constants.MIRROR_HOPS)]
"""Names of the mirrors between an origin and a reader, in the order in which data passes them."""
Fence = Annotated[int, Field(ge=0, lt=constants.FENCE)]
CurveKey = Annotated[str, Field(max_length=64)]
LONGEST_TTL_MS = 3_600_000
TtlMs = Annotated[int, Field(ge=100, le=LONGEST_TTL_MS)]


class MirrorInfo(Model):
    """A mirror of a root: where its data socket is, and the mirrors that its data passes before.

    ``complete`` says whether it has the whole root, ``load`` how busy it is, in percent.
    """

    mirror: MirrorName
    endpoint: Endpoint
    curve_key: CurveKey = ""
    path: Annotated[tuple[MirrorName, ...], Field(max_length=constants.MIRROR_HOPS - 1)] = ()
    complete: bool = False
    load: Annotated[int, Field(ge=0, le=100)] = 0


class Registration(Model):
    """What a publisher registers of its root.

    ``inst`` names the publisher's process, ``fence`` counts the grants of the root's name: of
    two holders, the one with the higher fence is newer. ``rights`` names what the publisher says
    about its readers, and is empty where everybody may read. ``mirror`` is not empty where a
    mirror publishes the root at another site than its origin's; ``inst`` is the origin's then.
    """

    root: Root
    inst: Token
    fence: Fence
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=8)]
    curve_key: CurveKey = ""
    ttl_ms: TtlMs = TTL_MS
    rights: Rights = ""
    mirror: MirrorName | Literal[""] = ""


class RootInfo(Registration):
    """A root, its publisher, and its mirrors; with ``away`` the publisher's lease has ended."""

    mirrors: Annotated[tuple[MirrorInfo, ...], Field(max_length=constants.MIRRORS)] = ()
    away: bool = False

    @property
    def by_http(self) -> bool:
        """Whether it comes from another subscriber, whose URL is the endpoint."""
        return self.endpoints[0].startswith("http")


class Origin(Model):
    """What a mirror knows of the publisher whose root it serves again.

    ``inst``, ``fence`` and ``rev`` are the publisher's, as of the catalog that the mirror serves.
    ``path`` ends with the mirror itself. ``as_of`` is when the publisher was last in step with
    the mirror, in seconds since 1970; ``away`` says that it can't be reached now.
    """

    inst: Token
    fence: Fence
    rev: Count
    path: MirrorPath
    as_of: float
    away: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """How the data of a root comes to a subscriber.

    ``origin`` says whether the publisher can be reached by anything on the way, ``path`` names the
    mirrors on it, the last one at ``via``, a ``HOST:PORT``. ``as_of`` is when the publisher was
    last in step with what is read here, in seconds since 1970, as far as that is known.
    """

    origin: Literal["up", "away"]
    path: tuple[str, ...] = ()
    via: str = ""
    as_of: float | None = None


@dataclass(frozen=True, slots=True)
class RootStatus:
    """A root in a subscriber's list; ``http`` is its publisher's ``HOST:PORT``.

    ``lease`` are the seconds that its lease lasts without a beat, ``fence`` is that of the lease;
    both are 0 where no broker announced it, and ``way`` is None of a root that was not opened,
    and of special ones.
    """

    name: RootName
    http: str
    subscribed: bool
    offline: bool
    lease: float = 0.0
    fence: int = 0
    way: Way | None = None

    @property
    def mirrored(self) -> bool:
        """Whether it can be read by mirrors only, since its publisher is away."""
        return self.way is not None and bool(self.way.path) and self.way.origin == "away"

    @property
    def stale(self) -> bool:
        """Whether its publisher can't be reached by any way: what is read may be old."""
        return self.offline or self.mirrored


@dataclass(frozen=True, slots=True)
class RootEvent:
    """A root went up, moved to another publisher, is read by another way, or went offline."""

    root: RootName
    state: Literal["up", "offline"]
    http: str
    origin: Literal["up", "away"] = "up"
    hops: int = 0

    @classmethod
    def of(cls, status: RootStatus) -> Self:
        """Make the event of what a root is now."""
        way = status.way or Way("away" if status.offline else "up")
        state: Literal["up", "offline"] = "offline" if status.offline else "up"
        return cls(status.name, state, status.http, way.origin, len(way.path))


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """A dataset has a new version or was deleted; then the etag is empty."""

    root: RootName
    path: DatasetPath
    op: Literal["put", "delete"]
    etag: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Events were dropped, of this root and maybe of others, since the queue was full."""

    root: RootName


PrefetchState = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Health:
    """Health of a subscriber: whether its broker is heard, and the number of roots that are up."""

    broker: bool
    roots: int


@dataclass(frozen=True, slots=True)
class PrefetchStatus:
    """Progress of a prefetch.

    Of ``datasets``, ``done`` are complete and ``failed`` could not be fetched, ``failures`` first.
    ``nchunks`` and ``cached`` count chunks of those reached so far, or of the part ``slice_``.
    """

    path: str
    state: PrefetchState
    datasets: int
    done: int
    failed: int
    failures: tuple[str, ...]
    nchunks: int
    cached: int
    error: str
    slice_: str = ""


Event = RootEvent | ChangeEvent
