"""The deadline of the call that a thread works for, where it can't be handed down."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TypeVar

from caterva2.sources.base import NEVER

T = TypeVar("T")
_local = threading.local()


def current() -> float:
    """Return the deadline of this thread's call, in monotonic time."""
    found: float = getattr(_local, "deadline", NEVER)
    return found


@contextlib.contextmanager
def until(deadline: float) -> Iterator[None]:
    """Let reads of this thread end at a deadline."""
    former, _local.deadline = current(), deadline
    try:
        yield
    finally:
        _local.deadline = former


def bounded(items: Iterator[T], deadline: float) -> Iterator[T]:
    """Yield items, each of which is made before a deadline, by whichever thread asks for it."""
    while True:
        with until(deadline):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
        del item
