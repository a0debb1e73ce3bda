"""Who is told what happens to the roots, while they listen."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from caterva2 import limits
from caterva2.errors import Busy, SlowDown
from caterva2.model import ChangeEvent, Event, Lost, RootEvent
from caterva2.names import RootName

Shows = Callable[[RootName], bool]


def everything(_root: RootName) -> bool:
    """Of all roots."""
    return True


class Listener:
    """Somebody who is told, about all roots or about one.

    Parameters
    ----------
    owner : Listeners
    root : RootName or None
    shows : callable
        Whether the listener may know of a root.
    ident : str
        Of the user who listens; empty for nobody.
    """

    def __init__(
        self, owner: Listeners, root: RootName | None, shows: Shows, ident: str = ""
    ) -> None:
        self.root = root
        self.ident = ident
        self._shows = shows
        self._owner = owner
        self._queue: deque[Event | Lost] = deque()
        self._ended = False
        self._wake = asyncio.Event()

    def put(self, event: Event | Lost) -> None:
        """Tell something; who is too slow is told once that more was lost."""
        if self.root not in (None, event.root) or not self._shows(event.root):
            return
        if len(self._queue) < limits.EVENT_QUEUE and not isinstance(event, Lost):
            self._queue.append(event)
        elif not self._queue or not isinstance(self._queue[-1], Lost):
            self._queue.append(Lost(event.root))
        self._wake.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._wake.set()

    async def next(self) -> Event | Lost | None:
        """What happened next; None at the end. Nothing is lost when this is cancelled."""
        while not self._queue and not self._ended:
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft() if self._queue else None

    def close(self) -> None:
        """Listen no more."""
        self._owner.leave(self)


class Listeners:
    """All who listen."""

    def __init__(self) -> None:
        self._all: set[Listener] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._all)

    def add(self, root: RootName | None, shows: Shows = everything, ident: str = "") -> Listener:
        """A new listener, who has to be closed.

        Raises
        ------
        SlowDown
            If there are as many as `limits` allows.
        Busy
            If the service ends.
        """
        if self._ended:
            raise Busy("the subscriber ends", after_ms=5000)
        if len(self._all) >= limits.EVENT_LISTENERS:
            raise SlowDown(
                f"EVENT_LISTENERS, {limits.EVENT_LISTENERS}, listen to events", after_ms=10_000
            )
        listener = Listener(self, root, shows, ident)
        self._all.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._all.discard(listener)

    def root(self, event: RootEvent) -> None:
        """A root came or went."""
        self._tell([event])

    def changes(
        self, root: RootName, events: Iterable[ChangeEvent], count: int, owner: str = ""
    ) -> None:
        """So many datasets of a root changed; nobody but its owner hears of a personal one."""
        if self._all:
            self._tell(events if count <= limits.EVENT_QUEUE else [Lost(root)], owner)

    def _tell(self, events: Iterable[Event | Lost], owner: str = "") -> None:
        for event in events:
            for listener in self._all:
                if not owner or listener.ident == owner:
                    listener.put(event)

    def end(self) -> None:
        """Tell all that nothing more will come."""
        self._ended = True
        for listener in self._all:
            listener.end()
