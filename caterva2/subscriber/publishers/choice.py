"""Choose among the providers of a root: its publisher, and its mirrors. Pure."""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from caterva2.errors import (
    BadMessage,
    Busy,
    CatervaError,
    Damaged,
    DeadlineExceeded,
    Loop,
    NotAllowed,
    NotFound,
    RootOffline,
    SlowDown,
    SourceCorrupt,
    StaleVersion,
    TooLarge,
)
from caterva2.signing.checks import Forged

SMOOTHING = 0.25
"""Weight of a new measurement of a round trip."""
NEARER = 0.7
"""Share of the present round trip below which another provider is nearer."""
NOTICEABLE = 0.002
"""Seconds by which a round trip must be shorter, besides."""
LESS_LOADED = 30
"""Percent of load by which another provider as near must be less loaded."""
SETTLED = 10.0
"""Seconds for which a provider is kept at least, unless it fails; up to twice as long, so that not
all readers come back from a provider at once."""
PAUSE = 2.0
"""Seconds for which a provider that failed is avoided; twice as long each time, while it fails."""
LONGEST_PAUSE = 60.0


class Fault(enum.Enum):
    """What is wrong with a provider that failed."""

    LACKING = enum.auto()
    """It does not have what was asked for; others may."""
    SLOW = enum.auto()
    """It is too busy, or was too slow."""
    BEHIND = enum.auto()
    """It serves an older catalog than is known already."""
    WRONG = enum.auto()
    """What it sent does not fit together or with its digests, or it must not be asked."""


_LACKING = NotFound, RootOffline, SourceCorrupt, StaleVersion
_SLOW = Busy, DeadlineExceeded, SlowDown
_WRONG = BadMessage, Damaged, Forged, Loop, NotAllowed, TooLarge


def fault_of(error: CatervaError, of_publisher: bool) -> Fault | None:
    """Return what an error says of a provider; None if another one would answer alike.

    What the publisher itself says of its datasets is final.
    """
    if isinstance(error, _WRONG):
        return None if of_publisher and isinstance(error, NotAllowed) else Fault.WRONG
    if isinstance(error, Behind):
        return Fault.BEHIND
    if isinstance(error, _SLOW):
        return Fault.SLOW
    if of_publisher and isinstance(error, NotFound | StaleVersion):
        return None
    return Fault.LACKING if isinstance(error, _LACKING) else None


class Behind(Busy):
    """A provider serves an older catalog than is known already."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What a root can be taken from.

    Parameters
    ----------
    name : str
        Of the mirror; empty of the publisher.
    place : str
        ``HOST:PORT``.
    hops : int
        Mirrors that data passes from the origin to the reader.
    rank : int
        Place among the preferences of the settings: the lowest counts.
    load : int
        Percent.
    """

    name: str
    place: str
    hops: int = 0
    rank: int = 0
    load: int = 0

    @property
    def title(self) -> str:
        """The provider's kind and place, for messages."""
        return (
            f"mirror {self.name} at {self.place}" if self.name else f"its publisher at {self.place}"
        )


class RoundTrips:
    """Smoothed round trips by place, and when each was measured."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[float, float]] = {}

    def measured(self, place: str, seconds: float, now: float) -> None:
        """Take a measurement."""
        before = self.of(place)
        new = seconds if before == math.inf else before + SMOOTHING * (seconds - before)
        self._of[place] = new, now

    def begun(self, place: str, now: float) -> None:
        """Note that a place is being measured: it is not due for others."""
        self._of[place] = self.of(place), now

    def of(self, place: str) -> float:
        """Return the round trip in seconds; infinity before it was measured."""
        return self._of.get(place, (math.inf, 0.0))[0]

    def is_due(self, place: str, now: float, every: float) -> bool:
        """Return whether a place was not measured for some seconds."""
        found = self._of.get(place)
        return found is None or now - found[1] >= every

    def forget_old(self, now: float, age: float) -> None:
        """Forget the places that were not measured for some seconds."""
        self._of = {place: one for place, one in self._of.items() if now - one[1] < age}


@dataclass(slots=True)
class _Record:
    """What is remembered of a provider that failed."""

    until: float = -math.inf
    failures: int = 0


@dataclass(slots=True)
class Choice:
    """The providers of one root, and the one that is used.

    Times are monotonic seconds; ``draw`` gives random numbers from 0 to 1.

    Attributes
    ----------
    current : str or None
        Name of the provider that was chosen last.
    """

    trips: RoundTrips
    draw: Callable[[], float] = random.random
    current: str | None = None
    _of: dict[str, Provider] = field(default_factory=dict)
    _records: dict[str, _Record] = field(default_factory=dict)
    _settled: float = -math.inf

    def offer(self, providers: Iterable[Provider]) -> None:
        """Take the providers that there are now."""
        self._of = {one.name: one for one in providers}
        self._records = {name: one for name, one in self._records.items() if name in self._of}
        if self.current not in self._of:
            self.current = None

    @property
    def providers(self) -> Mapping[str, Provider]:
        """All of them by their names."""
        return self._of

    def failed(self, name: str, fault: Fault, now: float) -> None:
        """Note that a provider failed; what only lacks something is not avoided."""
        if fault is Fault.LACKING or name not in self._of:
            return
        record = self._records.setdefault(name, _Record())
        if now < record.until:  # of the same time as the last one
            return
        record.failures += 1
        pause = min(PAUSE * 2 ** (record.failures - 1), LONGEST_PAUSE)
        record.until = now + (LONGEST_PAUSE if fault is Fault.WRONG else pause)

    def succeeded(self, name: str, now: float) -> None:
        """Note that a provider answers again, after the time for which it was avoided."""
        record = self._records.get(name)
        if record is not None and now >= record.until:
            del self._records[name]

    def is_avoided(self, name: str, now: float) -> bool:
        """Return whether a provider failed a short time ago."""
        record = self._records.get(name)
        return record is not None and now < record.until

    def choose(
        self, now: float, unreachable: Collection[str] = (), tried: Collection[str] = ()
    ) -> str | None:
        """Choose the provider to use; None if there is none left.

        Parameters
        ----------
        now : float
        unreachable : collection of str
            Those that do not answer.
        tried : collection of str
            Those that failed for this request: if there are any, the choice is for it alone.
        """
        left = [u for n, u in self._of.items() if n not in unreachable and n not in tried]
        sound = [one for one in left if not self.is_avoided(one.name, now)]
        if not left:
            return None
        if not sound:
            return min(left, key=lambda one: self._records[one.name].until).name
        present = None if self.current is None else self._of[self.current]
        better = sound
        if present is not None and present in sound:
            better = [one for one in sound if self._displaces(one, present, now)] or [present]
        best = min(better, key=self._order).name
        if not tried and best != self.current:
            self.current, self._settled = best, now + SETTLED * (1 + self.draw())
        return best

    def _order(self, one: Provider) -> tuple[int, float, int, int, str]:
        return one.rank, self.trips.of(one.place), one.hops, one.load, one.name

    def _displaces(self, other: Provider, present: Provider, now: float) -> bool:
        if other.rank != present.rank:
            return other.rank < present.rank
        if now < self._settled:
            return False
        trip, before = self.trips.of(other.place), self.trips.of(present.place)
        if trip < min(before * NEARER, before - NOTICEABLE):
            return True
        return trip <= before + NOTICEABLE and other.load + LESS_LOADED <= present.load
