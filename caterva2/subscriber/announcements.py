"""What announces roots to a subscriber: a broker, an upstream, both or none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from caterva2.limits import Limits
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.announcement_listener import AnnouncementListener
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.wire import messages, sockets
from caterva2.wire.auth.service_keys import link_to_broker

Moved = Callable[[set[RootName]], None]
Noted = Callable[[messages.RootNote], None]


class Announcements(Protocol):
    """Says which roots there are, and what their publishers note."""

    @property
    def roots(self) -> Mapping[RootName, RootInfo]:
        """The roots that are up."""
        ...

    @property
    def known(self) -> bool:
        """Whether it was ever said which roots there are."""
        ...

    @property
    def connected(self) -> bool:
        """Whether what announces them is up now."""
        ...

    @property
    def quiet(self) -> bool:
        """Whether it is late."""
        ...

    @property
    def silent_for(self) -> float | None:
        """Seconds since it was heard; None before that."""
        ...

    def hears(self, name: RootName) -> bool:
        """Return whether what announces a root is heard now."""
        ...

    def judged(self, name: RootName, *, offline: bool) -> None:
        """Take the judgement whether a root can be reached where it is announced."""
        ...

    def listen(self, name: RootName) -> None:
        """Receive the notes about a root from here on."""
        ...

    def ignore(self, name: RootName) -> None:
        """Receive no more notes about a root."""
        ...

    async def follow(self) -> None:
        """Follow what announces roots, until cancelled."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class NullAnnouncements:
    """Stand in for `AnnouncementListener`: no root is ever announced."""

    roots: Mapping[RootName, RootInfo] = {}
    known = True
    connected = False
    quiet = False
    silent_for: float | None = None

    def hears(self, name: RootName) -> bool:
        """Return whether who announces a root is heard now."""
        return False

    def judged(self, name: RootName, *, offline: bool) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    def listen(self, name: RootName) -> None:
        """Do nothing."""

    def ignore(self, name: RootName) -> None:
        """Do nothing."""

    async def follow(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()


class Joined:
    """The announcements of a broker and of an upstream; of a root that both have, the broker's.

    Parameters
    ----------
    broker : callable
        Makes the announcements of a broker, with what is called for moves and notes.
    upstream : callable
        Makes those of an upstream.
    on_moved, on_note : callable
        As of an `AnnouncementListener`.

    Attributes
    ----------
    roots : dict
    """

    def __init__(
        self,
        broker: Callable[[Moved, Noted], Announcements],
        upstream: Callable[[Moved, Noted], Announcements],
        on_moved: Moved,
        on_note: Noted,
    ) -> None:
        self.roots: dict[RootName, RootInfo] = {}
        self._unreached: set[RootName] = set()
        self._on_moved = on_moved
        self._broker = broker(self._of_broker, on_note)
        self._upstream = upstream(self._move, self._of_upstream(on_note))

    def _of_upstream(self, on_note: Noted) -> Noted:
        def note(said: messages.RootNote) -> None:
            if self._is_upstreams(said.root):
                on_note(said)

        return note

    def _is_upstreams(self, name: RootName) -> bool:
        """Return whether a root is taken from the upstream.

        So is one that nothing serves where it is announced, while the broker can't say so.
        """
        if name not in self._upstream.roots:
            return False
        return name not in self._broker.roots or (
            name in self._unreached and not self._broker.connected
        )

    def judged(self, name: RootName, *, offline: bool) -> None:
        if self.roots.get(name) == self._broker.roots.get(name):
            (self._unreached.add if offline else self._unreached.discard)(name)
            self._move({name})

    def _of_broker(self, names: set[RootName]) -> None:
        self._move(names | self._unreached)

    def _move(self, names: set[RootName]) -> None:
        changed = set()
        for name in names:
            upstreams = self._is_upstreams(name)
            now = (self._upstream if upstreams else self._broker).roots.get(name)
            if now != self.roots.get(name):
                changed.add(name)
                if not upstreams:  # where it is now, it was not judged yet
                    self._unreached.discard(name)
            if now is None:
                self.roots.pop(name, None)
            else:
                self.roots[name] = now
        if changed:
            self._on_moved(changed)

    @property
    def known(self) -> bool:
        return self._broker.known and self._upstream.known

    @property
    def connected(self) -> bool:
        return self._broker.connected

    @property
    def quiet(self) -> bool:
        return self._broker.quiet

    @property
    def silent_for(self) -> float | None:
        return self._broker.silent_for

    def hears(self, name: RootName) -> bool:
        return (self._upstream if self._is_upstreams(name) else self._broker).hears(name)

    def listen(self, name: RootName) -> None:
        self._broker.listen(name)
        self._upstream.listen(name)

    def ignore(self, name: RootName) -> None:
        self._broker.ignore(name)
        self._upstream.ignore(name)

    async def follow(self) -> None:
        await asyncio.gather(self._broker.follow(), self._upstream.follow())

    async def close(self) -> None:
        await self._broker.close()
        await self._upstream.close()


def of(
    options: SubscriberOptions,
    context: sockets.Context,
    on_moved: Moved,
    on_note: Noted,
    on_lost: Callable[[str], None],
    limits: Limits,
    pool: ConnectionPool,
) -> Announcements:
    """Make the announcements that a subscriber follows.

    Parameters
    ----------
    options : SubscriberOptions
    context : zmq.Context
    on_moved, on_note : callable
    on_lost : callable
        Called with the reason when an upstream is not reached.
    limits : Limits
    pool : ConnectionPool
        Connects to publishers, and from now on to the upstream.

    Raises
    ------
    StartError
        If the files of an upstream can't be used.
    """
    given = options.broker

    def broker(moved: Moved, noted: Noted) -> Announcements:
        if given is None:
            return NullAnnouncements()
        protect = link_to_broker(options.keys, pool.links)
        where = options.publishers, options.pinned
        return AnnouncementListener(
            context, given, moved, noted, limits, pool.links, protect, *where
        )

    if options.upstream is None:
        return broker(on_moved, on_note)
    from caterva2.subscriber.upstream.roots import UpstreamRoots  # loads httpx
    from caterva2.subscriber.upstream.session import Session

    session = Session(options.upstream, limits)

    def upstream(moved: Moved, noted: Noted) -> Announcements:
        made = UpstreamRoots(session, moved, noted, on_lost, limits, pool.name_of)
        pool.upstream = made
        return made

    if given is None:
        return upstream(on_moved, on_note)
    return Joined(broker, upstream, on_moved, on_note)
