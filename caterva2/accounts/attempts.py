"""Rate limit: a number of attempts per minute for each key."""

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
        times = self._times.peek(key)
        if times is None:
            return
        now = self._clock()
        while times and times[0] <= now - WINDOW:
            times.popleft()
        if len(times) >= self._max_attempts:
            pause = times[0] + WINDOW - now
            raise SlowDown("too many attempts: wait a minute", after_ms=int(pause * 1000) + 1000)

    def add(self, key: Hashable) -> None:
        """Count one more attempt of a key."""
        times = self._times.get(key)
        if times is None:
            times = deque(maxlen=self._max_attempts)
            self._times.put(key, times)
        times.append(self._clock())
