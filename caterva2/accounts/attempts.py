"""Rate limits: a number of attempts per minute for each key, refused or put off above it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable

from caterva2.errors import SlowDown
from caterva2.limits import DEFAULTS
from caterva2.runtime.lru import Lru

WINDOW = 60.0
"""Seconds that an attempt counts; "a minute" in the documentation and in messages."""


class Attempts:
    """Count the attempts of each key within the last minute.

    Parameters
    ----------
    max_attempts : int
        Attempts of one key within a minute.
    clock : callable
        Monotonic seconds.
    max_keys : int
        Keys that are remembered; beyond it the key that was added to least recently is forgotten.
    """

    def __init__(
        self,
        max_attempts: int,
        clock: Callable[[], float] = time.monotonic,
        max_keys: int = DEFAULTS.accounts.attempts,
    ) -> None:
        self._max_attempts = max_attempts
        self._clock = clock
        self._times: Lru[Hashable, deque[float]] = Lru(max_keys)

    def check(self, key: Hashable) -> None:
        """Raise `SlowDown` with the time to wait if the key has used up its attempts."""
        pause = self.pause(key)
        if pause:
            raise SlowDown("too many attempts: wait a minute", after_ms=int(pause * 1000) + 1000)

    def pause(self, key: Hashable) -> float:
        """Return the seconds until the key has an attempt again; 0 if it has one."""
        times = self._times.peek(key)
        if times is None:
            return 0.0
        now = self._clock()
        while times and times[0] <= now - WINDOW:
            times.popleft()
        return times[0] + WINDOW - now if len(times) >= self._max_attempts else 0.0

    def add(self, key: Hashable) -> None:
        """Count one more attempt of a key."""
        times = self._times.get(key)
        if times is None:
            times = deque(maxlen=self._max_attempts)
            self._times.put(key, times)
        times.append(self._clock())


class Pace:
    """Let the attempts of a key follow each other at a distance.

    Parameters
    ----------
    per_minute : int
        Attempts of one key.
    longest : float
        Seconds that an attempt waits at most.
    clock : callable
        Monotonic seconds.
    max_keys : int
        Keys that are remembered.
    """

    def __init__(
        self,
        per_minute: int,
        longest: float,
        clock: Callable[[], float] = time.monotonic,
        max_keys: int = DEFAULTS.accounts.attempts,
    ) -> None:
        self._distance = WINDOW / per_minute
        self._longest = longest
        self._clock = clock
        self._next: Lru[Hashable, float] = Lru(max_keys)

    def reserve(self, key: Hashable) -> float:
        """Take the next turn of a key and return the seconds until it.

        Raises
        ------
        SlowDown
            If that is too long. Nothing is taken then.
        """
        now = self._clock()
        turn = max(now, self._next.peek(key) or now)
        if turn - now > self._longest:
            raise SlowDown(
                "many try to log in as this user: try again",
                after_ms=int((turn - now - self._longest) * 1000) + 1000,
            )
        self._next.put(key, turn + self._distance)
        return turn - now
