"""Queues of events about roots, one for each listener, and doubts about earlier answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from caterva2.errors import Busy, SlowDown
from caterva2.limits import DEFAULTS, SubscriberLimits
from caterva2.model import ChangeEvent, Event, Lost, RootEvent
from caterva2.names import DatasetPath, RootName

Shows = Callable[[RootName], bool]


def everything(_root: RootName) -> bool:
    """Return True: show events of every root."""
    return True


class Listener:
    """The events that one client has not taken yet.

    Parameters
    ----------
    owner : Listeners
    root : RootName or None
        The root whose events are queued; None for all roots.
    shows : callable
        Whether the listener may know of a root.
    ident : str
        Of the user who listens; empty without a login.
    max_queue : int
        Events that wait at once.
    """

    def __init__(
        self,
        owner: Listeners,
        root: RootName | None,
        shows: Shows,
        ident: str,
        max_queue: int,
    ) -> None:
        self._max_queue = max_queue
        self.root = root
        self.ident = ident
        self._shows = shows
        self._owner = owner
        self._queue: deque[Event | Lost] = deque()
        self._ended = False
        self._wake = asyncio.Event()

    def put(self, event: Event | Lost) -> None:
        """Queue an event; if the queue is full, queue once that events were lost."""
        if self.root not in (None, event.root) or not self._shows(event.root):
            return
        if len(self._queue) < self._max_queue and not isinstance(event, Lost):
            self._queue.append(event)
        elif not self._queue or not isinstance(self._queue[-1], Lost):
            self._queue.append(Lost(event.root))
        self._wake.set()

    def end(self) -> None:
        """End the queue: `next` returns None after the last event."""
        self._ended = True
        self._wake.set()

    async def next(self) -> Event | Lost | None:
        """Wait for the next event; None at the end. Cancelling it loses no event."""
        while not self._queue and not self._ended:
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft() if self._queue else None

    def close(self) -> None:
        """Stop listening."""
        self._owner.leave(self)


class Listeners:
    """All listeners of a subscriber.

    Parameters
    ----------
    limits : SubscriberLimits, optional
    """

    def __init__(self, limits: SubscriberLimits = DEFAULTS.subscriber) -> None:
        self._limits = limits
        self._all: set[Listener] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._all)

    def add(self, root: RootName | None, shows: Shows = everything, ident: str = "") -> Listener:
        """Add a listener, to be closed by the caller.

        Raises
        ------
        SlowDown
            If there are as many listeners as there may be.
        Busy
            If the service ends.
        """
        if self._ended:
            raise Busy("the subscriber ends", after_ms=5000)
        bound = self._limits.event_listeners
        if len(self._all) >= bound:
            raise SlowDown(f"too many event listeners (EVENT_LISTENERS={bound})", after_ms=10_000)
        listener = Listener(self, root, shows, ident, self._limits.event_queue)
        self._all.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Remove a listener."""
        self._all.discard(listener)

    def root(self, event: RootEvent) -> None:
        """Queue that a root went online or offline."""
        self._put([event])

    def changes(
        self, root: RootName, events: Iterable[ChangeEvent], count: int, owner: str = ""
    ) -> None:
        """Queue changes of a root's datasets.

        Parameters
        ----------
        root : RootName
        events : iterable of ChangeEvent
            Not consumed if they are too many to be queued.
        count : int
            Number of these events.
        owner : str, optional
            Ident of the user whose personal root it is; no other listener gets the events.
        """
        if self._all:
            self._put(events if count <= self._limits.event_queue else [Lost(root)], owner)

    def _put(self, events: Iterable[Event | Lost], owner: str = "") -> None:
        for event in events:
            for listener in self._all:
                if not owner or listener.ident == owner:
                    listener.put(event)

    def end(self) -> None:
        """End all queues, and accept no more listeners."""
        self._ended = True
        for listener in self._all:
            listener.end()


class Doubted(Protocol):
    """Hears which answers may be outdated; from any thread, without blocking."""

    def doubt_all(self) -> None:
        """Note that rights or users changed."""

    def doubt_root(self, root: RootName) -> None:
        """Note that a root changed as a whole, or who may read it."""

    def doubt_datasets(self, root: RootName, paths: Collection[DatasetPath]) -> None:
        """Note that some datasets have other versions."""


class Doubts:
    """Pass doubts on, as `Doubted`, to those who are affected.

    Attributes
    ----------
    affected : list of Doubted
    """

    def __init__(self) -> None:
        self.affected: list[Doubted] = []

    def doubt_all(self) -> None:
        """Note that rights or users changed."""
        for one in self.affected:
            one.doubt_all()

    def doubt_root(self, root: RootName) -> None:
        """Note that a root changed as a whole, or who may read it."""
        for one in self.affected:
            one.doubt_root(root)

    def doubt_datasets(self, root: RootName, paths: Collection[DatasetPath]) -> None:
        """Note that some datasets have other versions."""
        for one in self.affected:
            one.doubt_datasets(root, paths)
