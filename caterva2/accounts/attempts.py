"""How often somebody may try."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

from caterva2 import limits
from caterva2.errors import SlowDown

WINDOW = 60.0


class Attempts:
    """Counts what each of many did within the last minute.

    Parameters
    ----------
    most : int
        For each of them.
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._times: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def check(self, who: Hashable) -> None:
        """Raise `SlowDown`, which tells when to come again, if there were too many."""
        times = self._times.get(who)
        if times is None:
            return
        now = self._clock()
        while times and times[0] <= now - WINDOW:
            times.popleft()
        if len(times) >= self._most:
            pause = times[0] + WINDOW - now
            raise SlowDown("too many attempts: wait a minute", after_ms=int(pause * 1000) + 1000)

    def note(self, who: Hashable) -> None:
        """There was one more; who tried least recently is forgotten when there are too many."""
        self._times.setdefault(who, deque(maxlen=self._most)).append(self._clock())
        self._times.move_to_end(who)
        if len(self._times) > limits.ATTEMPTS:
            self._times.popitem(last=False)
