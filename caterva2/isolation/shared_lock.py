"""A lock that many calls hold together, or one alone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from caterva2.errors import DeadlineExceeded
from caterva2.sources.base import NEVER


class SharedLock:
    """A lock that calls share, until one has to be alone; that one goes before further ones.

    If a process dies, all calls that it worked on fail, and none can be blamed. Each is repeated
    alone: then the one that did it is known.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders = 0
        self._waiting = 0
        self._alone = False

    @contextlib.contextmanager
    def together(self, deadline: float = NEVER) -> Iterator[None]:
        """Hold it with others.

        Raises
        ------
        DeadlineExceeded
            If it is not free by a monotonic time.
        """
        with self._changed:
            self._wait(lambda: not self._alone and not self._waiting, deadline)
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self, deadline: float = NEVER) -> Iterator[None]:
        """Hold it when no other call does, and let all others wait.

        Raises
        ------
        DeadlineExceeded
            If it is not free by a monotonic time.
        """
        with self._changed:
            self._waiting += 1
            try:
                self._wait(lambda: not self._alone and not self._holders, deadline)
            finally:
                self._waiting -= 1
                self._changed.notify_all()  # those that waited for this one, if it gave up
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    def _wait(self, is_free: Callable[[], bool], deadline: float) -> None:
        left = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
        if not self._changed.wait_for(is_free, left):
            raise DeadlineExceeded("other reads take too long")
