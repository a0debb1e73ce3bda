"""Who listens is told, and who is too slow is told that something was lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from caterva2.errors import Busy, SlowDown
from caterva2.limits import DEFAULTS
from caterva2.model import ChangeEvent, Event, Lost, RootEvent
from caterva2.names import DatasetPath, RootName
from caterva2.runtime.events import Listener, Listeners

FOO, BAR = RootName("foo"), RootName("bar")


def _up(name: RootName, n: int = 0) -> RootEvent:
    return RootEvent(name, "up", f"host:{n}")


Drain = Callable[[Listener], list[Event | Lost | None]]


@pytest.fixture
def drain() -> Iterator[Drain]:
    """Gives all that waits for a listener, up to the end or to where it would wait."""
    with asyncio.Runner() as runner:
        yield lambda listener: runner.run(_drained(listener))


async def _drained(listener: Listener) -> list[Event | Lost | None]:
    found: list[Event | Lost | None] = []
    with contextlib.suppress(TimeoutError):
        while not found or found[-1] is not None:
            found.append(await asyncio.wait_for(listener.next(), 0.01))
    return found


def test_listener_hears_of_all_roots_or_of_one(drain: Drain) -> None:
    listeners = Listeners()
    every, one = listeners.add(None), listeners.add(BAR)
    listeners.root(_up(FOO))
    listeners.root(_up(BAR))
    assert drain(every) == [_up(FOO), _up(BAR)]
    assert drain(one) == [_up(BAR)]


def test_slow_listener_is_told_once_and_goes_on(drain: Drain) -> None:
    listeners = Listeners()
    listener = listeners.add(None)
    for n in range(DEFAULTS.subscriber.event_queue + 50):
        listeners.root(_up(FOO, n))
    found = drain(listener)
    assert found == [*(_up(FOO, n) for n in range(DEFAULTS.subscriber.event_queue)), Lost(FOO)]
    listeners.root(_up(FOO, 7))
    assert drain(listener) == [_up(FOO, 7)]


def test_more_changes_than_can_be_kept_are_not_even_made(drain: Drain) -> None:
    listeners = Listeners()
    listener = listeners.add(None)
    never = (1 / 0 for _ in range(1))
    listeners.changes(FOO, never, DEFAULTS.subscriber.event_queue + 1)  # type: ignore[arg-type]
    listeners.changes(FOO, [ChangeEvent(FOO, DatasetPath("a"), "put", "e")], 1)
    assert drain(listener) == [Lost(FOO), ChangeEvent(FOO, DatasetPath("a"), "put", "e")]


def test_number_of_listeners_has_a_limit() -> None:
    listeners = Listeners(replace(DEFAULTS.subscriber, event_listeners=3))
    first, *_ = [listeners.add(None) for _ in range(3)]
    with pytest.raises(SlowDown, match="EVENT_LISTENERS=3"):
        listeners.add(None)
    first.close()
    listeners.add(None)


def test_end_comes_after_what_happened_before(drain: Drain) -> None:
    listeners = Listeners()
    listener = listeners.add(None)
    listeners.root(_up(FOO))
    listeners.end()
    assert drain(listener) == [_up(FOO), None]
    with pytest.raises(Busy):
        listeners.add(None)
