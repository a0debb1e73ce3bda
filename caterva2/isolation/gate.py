"""A gate through which many pass at once, or one alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Gate:
    """Calls are let pass together, until one has to be alone.

    If a process dies, all calls that it worked on fail, and none can be blamed. Each is repeated
    alone: then the one that did it is known. Who has to be alone goes before those that do not.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting = 0
        self._closed = False

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Pass with others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Pass when no other call is inside, and keep all others outside."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._closed and not self._inside)
            self._waiting -= 1
            self._closed = True
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
