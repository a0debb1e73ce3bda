"""Listen to what the broker announces about roots, and publishers about their root."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import zmq

from caterva2.errors import BadMessage, CatervaError
from caterva2.limits import DEFAULTS, Limits
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.admission import Admission
from caterva2.subscriber.root_directory import RootDirectory
from caterva2.wire import codec, messages, sockets
from caterva2.wire.auth.curve import PLAIN, Links, OneOfKeys
from caterva2.wire.broker_link import BrokerLink
from caterva2.wire.networks import ANYWHERE, Networks
from caterva2.wire.sockets import Address, Frames, LoopSocket

log = logging.getLogger(__name__)
SILENT_BEATS = 5
"""Beats without one of which the broker may have moved: it is greeted again."""

QUIET_BEATS = 2
"""Beats without one of which the publishers are asked whether they are there."""


class AnnouncementListener:
    """The shell of `RootDirectory`: its sockets, and the notes of the roots of interest.

    Made on the running loop.

    Parameters
    ----------
    context : zmq.Context
    broker : Address
        It need not be there yet.
    on_moved : callable
        Called with the names of roots whose state changed.
    on_note : callable
        Called with each note of a root's publisher.
    limits : Limits
    links : Links, optional
        To publishers, see `Admission`.
    protect : OneOfKeys, optional
        Has the connections to the broker encrypted.
    publishers : Networks, optional
        Where these may be.
    pinned : mapping, optional
        The keys that publishers must have, by their roots.
    """

    def __init__(
        self,
        context: sockets.Context,
        broker: Address,
        on_moved: Callable[[set[RootName]], None],
        on_note: Callable[[messages.RootNote], None],
        limits: Limits = DEFAULTS,
        links: Links = PLAIN,
        protect: OneOfKeys | None = None,
        publishers: Networks = ANYWHERE,
        pinned: Mapping[RootName, frozenset[str]] = MappingProxyType({}),
    ) -> None:
        admission = Admission(broker.is_loopback, links, publishers, pinned)
        self._on_moved = on_moved
        self._on_root_note = on_note
        self._beat = limits.broker.beat
        self._silence = SILENT_BEATS * self._beat
        self._directory = RootDirectory(limits.wire.control_hwm, admission.admitted)
        self._topics: set[RootName] = set()
        self._last_beat = -math.inf
        self._wake = asyncio.Event()
        protect = protect or OneOfKeys(PLAIN, [""])
        self._make_sub = functools.partial(
            sockets.make, context, zmq.SUB, limits=limits.wire, protect=protect
        )
        self._sub = self._subscribed()
        self._link = BrokerLink(context, broker, self._on_lost, limits.wire, protect)

    @property
    def roots(self) -> Mapping[RootName, RootInfo]:
        """The roots that are up, as far as the broker announced them."""
        return self._directory.roots

    @property
    def known(self) -> bool:
        """Whether a broker ever said which roots there are."""
        return self._directory.known

    @property
    def connected(self) -> bool:
        """Whether the broker is up now."""
        return self.known and not self._is_silent()

    def hears(self, _: RootName) -> bool:
        """Return whether who announces a root is heard now."""
        return self.connected

    def judged(self, name: RootName, *, offline: bool) -> None:
        """Do nothing: the broker's word counts."""

    @property
    def quiet(self) -> bool:
        """Whether beats are missing, though perhaps not for long enough to tell."""
        return self.known and self._silent_for() >= QUIET_BEATS * self._beat

    def _is_silent(self) -> bool:
        return self._silent_for() >= self._silence

    @property
    def silent_for(self) -> float | None:
        """Seconds since the broker was heard; None before that."""
        return self._silent_for() if self._last_beat > -math.inf else None

    def _silent_for(self) -> float:
        return time.monotonic() - self._last_beat

    def _subscribed(self) -> LoopSocket:
        """Return a new socket, with all subscriptions."""
        sub = LoopSocket(self._make_sub(), self._on_note)
        for topic in (codec.ROOTS_TOPIC, *map(codec.root_topic, self._topics)):
            sub.subscribe(topic)
        return sub

    async def close(self) -> None:
        """Close the sockets."""
        self._sub.close()
        await asyncio.to_thread(self._link.close)

    def listen(self, name: RootName) -> None:
        """Receive the notes about a root from here on."""
        if name not in self._topics:  # ZeroMQ counts subscriptions: one is enough
            self._topics.add(name)
            self._sub.subscribe(codec.root_topic(name))

    def ignore(self, name: RootName) -> None:
        """Receive no more notes about a root."""
        if name in self._topics:
            self._topics.discard(name)
            self._sub.unsubscribe(codec.root_topic(name))

    async def follow(self) -> None:
        """Greet the broker, request snapshots when needed, and greet again when it is silent."""
        while True:
            hello = await self._link.hello()
            # Anew, too, where it has not moved: ZeroMQ gives a connection up where the key is not
            # admitted, which may have changed, and goes on for ever where the broker's has.
            self._sub.close()
            self._sub = self._subscribed()
            self._sub.connect(hello.xpub)
            self._last_beat = time.monotonic()
            self._directory.needs_snapshot = True
            try:
                while not self._is_silent():
                    if self._directory.needs_snapshot:
                        self._on_moved(self._directory.snapshot(await self._link.snapshot()))
                    self._wake.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._silence - self._silent_for()):
                            await self._wake.wait()
                        await asyncio.sleep(random.uniform(0, 0.1))  # noqa: S311 - jitter
            except CatervaError as error:
                log.warning("the broker is away: %s", error)
            self._on_moved(set())  # nothing, but its word counts less from here on

    def _on_lost(self) -> None:
        """End the wait for beats, so that the broker is greeted at once."""
        self._last_beat = -math.inf
        self._wake.set()

    def _on_note(self, frames: Frames) -> None:
        try:
            if frames[0] == codec.ROOTS_TOPIC:
                self._last_beat = time.monotonic()
                self._on_moved(self._directory.note(codec.roots_notes(frames[1:])))
                if self._directory.needs_snapshot:
                    self._wake.set()
                return
            note = codec.root_notes(frames[1:])
        except BadMessage as error:
            log.warning("dropped a note: %s", error)
            return
        if frames[0] == codec.root_topic(note.root):
            self._on_root_note(note)
