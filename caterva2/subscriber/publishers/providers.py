"""The publisher of a root and its mirrors: the one that is asked, and which stands in for it."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

from caterva2.errors import CatervaError, RootOffline
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.publishers import places as places_of
from caterva2.subscriber.publishers.choice import Choice, Fault, fault_of
from caterva2.subscriber.publishers.connection import PublisherConnection
from caterva2.subscriber.publishers.measuring import Measuring
from caterva2.subscriber.publishers.patience import Patience
from caterva2.subscriber.publishers.places import PUBLISHER
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.wire import messages
from caterva2.wire.calls import AsksFor
from caterva2.wire.messages import DataReply

log = logging.getLogger(__name__)
Tried = frozenset[str]
"""Names of the providers that failed for a request."""
NONE_TRIED: Tried = frozenset()
Connect = Callable[[str], PublisherConnection]
"""Makes the connection to a provider of a name, for `Providers` to place."""
IDLE = 1.0
"""Seconds without use after which the next use is watched from the beginning."""
LATELY = 600.0
"""Seconds after its last use for which the providers of a root are greeted from time to time."""


class Providers:
    """Connect to the best provider of a root, and to the next one where it fails.

    Parameters
    ----------
    name : RootName
    connect : callable
    pool : ConnectionPool
    away : callable
        Makes the error that explains why the root has no provider now.
    awaited : callable, optional
        Gives the bytes of the largest chunk that is under way; 0 if nothing is.
    on_switch : callable, optional
        Called when another provider is used from now on.

    Attributes
    ----------
    where : RootInfo or None
        The root as the broker announced it.
    choice : Choice
    failures : Counter
        Requests that failed by provider and name of the error.
    switches : int
    hellos : dict
        What each provider answered last.
    """

    def __init__(
        self,
        name: RootName,
        connect: Connect,
        pool: ConnectionPool,
        away: Callable[[RootName], RootOffline],
        awaited: Callable[[], int] = lambda: 0,
        on_switch: Callable[[], None] = lambda: None,
    ) -> None:
        self.where: RootInfo | None = None
        self.failures: Counter[tuple[str, str]] = Counter()
        self.switches = 0
        self.hellos: dict[str, messages.PublisherHello] = {}
        self._name = name
        self._connect = connect
        self._pool = pool
        self._away = away
        self._awaited = awaited
        self._patience = Patience()
        self._on_switch = on_switch
        self.choice = Choice(pool.trips)
        self._of: dict[str, PublisherConnection] = {}
        self._left: list[PublisherConnection] = []
        self._measuring = Measuring(name, pool, self._of, self._on_measured, self._failed)
        self._rights = ""
        self._chunk = self._asking = 0
        self._used = 0.0
        self._switched = False

    # --- where they are ---

    def move(self, where: RootInfo | None) -> bool:
        """Follow what the broker announces; return whether it is another run, or elsewhere."""
        old, self.where = self.where, where
        places = self._pool.places(where, self._name)
        for name in self._of.keys() - places.keys():
            gone = self._of.pop(name)
            gone.move(None)
            self._left.append(gone)
            self.hellos.pop(name, None)
        moved = False
        for name, place in places.items():
            if name not in self._of:
                made = self._of[name] = self._connect(name)
                made.rights = self._rights
                made.expect(self._chunk)
            moved |= self._of[name].move(place) and name == self.choice.current
        before = self.choice.current
        self.choice.offer(places_of.described(where, places, self._pool.preferences))
        if where is None or old is None or where.inst != old.inst or where.fence != old.fence:
            return True
        return moved or (before is not None and self.choice.current is None)

    @property
    def connections(self) -> list[PublisherConnection]:
        """The connections to all of them."""
        return list(self._of.values())

    @property
    def current(self) -> str | None:
        """Name of the one that is asked; None before the first use."""
        return self.choice.current if len(self._of) != 1 else next(iter(self._of))

    @property
    def offline(self) -> bool:
        """Whether there is none, or none that can be reached."""
        return all(one.offline for one in self._of.values())

    @property
    def rights(self) -> str:
        """The name of those that are applied to what they send."""
        return self._rights

    @rights.setter
    def rights(self, name: str) -> None:
        self._rights = name
        for one in self._of.values():
            one.rights = name

    def expect(self, chunk: int) -> None:
        """Take frames with a chunk of so many bytes from now on, see `PublisherConnection`."""
        self._chunk = max(chunk, self._chunk)
        for one in self._of.values():
            one.expect(chunk)

    def is_mirror(self, name: str) -> bool:
        """Return whether a provider is a mirror, here or at the origin's site."""
        return name != PUBLISHER or bool(self.where and self.where.mirror)

    @property
    def mirrors(self) -> Tried:
        """Names of the mirrors."""
        return frozenset(self._of) - {PUBLISHER}

    @property
    def has_publisher(self) -> bool:
        """Whether the publisher itself can be reached."""
        return PUBLISHER in self._of and not self._of[PUBLISHER].offline

    def is_gone(self, name: str) -> bool:
        """Return whether a provider does not answer."""
        one = self._of.get(name)
        return one is None or one.offline

    def name_of(self, asked: AsksFor[DataReply]) -> str | None:
        """Return which provider a connection leads to; None if that is gone."""
        place = places_of.address(asked.endpoint)
        return next(
            (one.name for one in self.choice.providers.values() if one.place == place), None
        )

    # --- requests ---

    def __call__(self, tried: Tried = NONE_TRIED) -> AsksFor[DataReply]:
        """Return the connection to use now, to none of those that were tried.

        Raises
        ------
        RootOffline
        """
        return self._of[self._chosen(tried)]()

    def _chosen(self, tried: Tried = NONE_TRIED) -> str:
        now = time.monotonic()
        if len(self._of) > 1 and now - self._used > IDLE:
            self._pool.failing.set()  # to be watched while it is used
        self._used = now
        return self._picked(now, tried)

    def _picked(self, now: float, tried: Tried = NONE_TRIED) -> str:
        gone = [name for name, one in self._of.items() if one.offline]
        before = self.choice.current
        name = self.choice.choose(now, gone, tried)
        if name is None:
            raise self._away(self._name)
        if self.choice.current != before and len(self._of) > 1:
            self._switch(before)
        return name

    def _switch(self, before: str | None) -> None:
        one = self.choice.providers[self.choice.current or PUBLISHER]
        log.info("root %s is taken from %s", self._name, one.title)
        self.switches += before is not None
        self._switched = True
        self._pool.failing.set()
        self._on_switch()

    async def ask(
        self, request: messages.DataRequest, check: Callable[[str, DataReply], Awaitable[None]]
    ) -> DataReply:
        """Return the answer of one provider after the other, until one has it.

        Parameters
        ----------
        request : DataRequest
        check : callable
            Raises an error if the answer of a provider of a name does not count.
        """
        tried = NONE_TRIED
        while True:
            name = self._chosen(tried)
            asked = self._of[name]()
            self._asking += 1
            try:
                reply = await asked.ask(request)
                await check(name, reply)
                return reply
            except CatervaError as error:
                again = self.again(asked, error, tried)
                if again is None:
                    raise
                tried = again
            finally:
                self._asking -= 1

    @contextlib.contextmanager
    def holding(self, tried: Tried = NONE_TRIED) -> Iterator[AsksFor[DataReply]]:
        """Return the connection to use now, which stays open meanwhile.

        Raises
        ------
        RootOffline
        """
        with self._of[self._chosen(tried)].holding() as connection:
            yield connection

    def again(
        self, asked: AsksFor[DataReply], error: CatervaError, tried: Tried = NONE_TRIED
    ) -> Tried | None:
        """Note that a request failed; return which have been tried if another one is left."""
        name = self.name_of(asked)
        fault = fault_of(error, name is not None and not self.is_mirror(name))
        if fault is None or len(self._of) < 2:
            return None
        if name is not None:
            self._failed(name, fault, error)
        tried |= {asked.endpoint if name is None else name}
        left = any(n not in tried and not one.offline for n, one in self._of.items())
        return tried if left else None

    def _failed(self, name: str, fault: Fault, error: CatervaError) -> None:
        now = time.monotonic()
        self.failures[name, error.name] += 1
        avoided = fault is Fault.LACKING or self.choice.is_avoided(name, now)
        if len(self._of) > 1 and not avoided:
            title = self.choice.providers[name].title
            log.warning("root %s: %s is avoided for a while: %s", self._name, title, error)
        self.choice.failed(name, fault, now)

    # --- whether they are there ---

    @property
    def doubted(self) -> bool:
        """Whether one of them may be gone."""
        if len(self._of) > 1 and self._is_waiting:
            return True
        return any(one.suspect or one.failing for one in self._of.values())

    @property
    def _is_waiting(self) -> bool:
        return self._awaited() > 0 or self._asking > 0 or any(one.held for one in self._of.values())

    def judge(self, broker_lost: bool) -> bool:
        """Probe those that may be gone; return whether another is used, or the root is offline now.

        See `PublisherConnection.judge`.
        """
        before = self.offline
        for name, one in self._of.items():
            if len(self._of) < 2:
                one.judge(broker_lost)
            else:
                self._judge(name, one, broker_lost)
        if before and not self.offline:
            log.info("root %s is up again", self._name)
        return self.settle() or self.offline != before

    def _judge(self, name: str, one: PublisherConnection, broker_lost: bool) -> None:
        """Judge a provider beside others."""
        now, lost = time.monotonic(), one.failing
        trip = self._pool.trips.of(self.choice.providers[name].place)
        if not one.judge(broker_lost, self._patience.seconds(trip, self._awaited())):
            return
        if one.suspect:
            self._patience.gave_up(name, -math.inf if lost else now)
            self._failed(name, Fault.SLOW, RootOffline("it does not answer"))
        else:
            self._patience.answered(name, now)

    def settle(self) -> bool:
        """Choose anew, and measure what is due; return whether another one is used."""
        now = time.monotonic()
        others, where = len(self._of) > 1, self.where
        far = where is not None and bool(where.mirror) and not where.by_http
        if (others or far) and now - self._used < LATELY:
            self._measuring.begin(self.choice.providers, now)
        if others and self.choice.current is not None and not self.offline:
            self._picked(now)
        switched, self._switched = self._switched, False
        return switched

    def _on_measured(self, name: str, hello: messages.PublisherHello) -> None:
        self.choice.succeeded(name, time.monotonic())
        self.heard(name, hello)

    def heard(self, name: str, hello: messages.PublisherHello) -> None:
        """Take what a provider answered to a greeting."""
        if name in self._of:
            before, self.hellos[name] = self.hellos.get(name, hello), hello
            self._switched |= name == self.current and before.is_away != hello.is_away

    async def tidy(self) -> None:
        """Close the connections that were left."""
        for one in self.connections:
            await one.tidy()
        while self._left:
            await self._left[-1].close()
            self._left.pop()

    async def close(self) -> None:
        """Close all connections."""
        await self._measuring.stop()
        self.move(None)
        await self.tidy()
