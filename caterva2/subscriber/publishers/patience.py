"""How long a provider may be silent before another one is asked. Pure."""

from __future__ import annotations

import math

from caterva2.limits.constants import MIB

SHORTEST = 0.8
"""Seconds without an answer after which another provider is asked, if round trips are short."""
UNMEASURED = 1.2
"""Seconds until then while round trips are not measured."""
LONGEST = 2.5
TRIPS = 8
"""Round trips that an answer may take at least."""
RATE = 4 * MIB
"""Bytes of a chunk for which a second more is granted: nothing is heard while one arrives."""
SOON = 10.0
"""Seconds within which one that was given up, and answers, was only slow."""
MOST = 64


class Patience:
    """The patience with the providers of a root, which grows where these were only slow.

    A thin link brings nothing but a part of a chunk for long, from whichever provider: to give each
    of them up in turn would never bring the chunk. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._factor = 1
        self._given_up: dict[str, float] = {}

    def seconds(self, trip: float, chunk: int) -> float:
        """Return the seconds for a provider with a round trip, from which a chunk is awaited."""
        usual = min(max(SHORTEST, TRIPS * trip), LONGEST) if math.isfinite(trip) else UNMEASURED
        return (usual + chunk / RATE) * self._factor

    def gave_up(self, name: str, now: float) -> None:
        """Note that a provider with a connection was silent for too long."""
        self._given_up[name] = now

    def answered(self, name: str, now: float) -> None:
        """Note that a provider answers again."""
        if now - self._given_up.pop(name, -math.inf) < SOON:
            self._factor = min(2 * self._factor, MOST)
