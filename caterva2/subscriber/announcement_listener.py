"""What the broker and the holders of roots announce, heard for as long as a subscriber runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Callable, Mapping

import zmq

from caterva2 import limits
from caterva2.errors import BadMessage, CatervaError
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.subscriber.root_directory import RootDirectory
from caterva2.wire import codec, messages, sockets
from caterva2.wire.broker_link import BrokerLink
from caterva2.wire.sockets import Address, Frames, LoopSocket

log = logging.getLogger(__name__)
SILENCE = 5 * limits.BEAT
"""Without a beat for so long the broker may have moved: greet it again."""


class Announced:
    """The shell of `RootDirectory`: its sockets, and the notes of the roots that are listened to.

    Parameters
    ----------
    context : zmq.Context
    broker : Address
        It need not be there yet.
    on_moved : callable
        Told the names of roots whose state changed.
    on_note : callable
        Told what the holder of a root says about it.
    """

    def __init__(
        self,
        context: sockets.Context,
        broker: Address,
        on_moved: Callable[[set[RootName]], None],
        on_note: Callable[[messages.RootNote], None],
    ) -> None:
        self._context = context
        self._broker = broker
        self._on_moved = on_moved
        self._on_root_note = on_note
        self._directory = RootDirectory()
        self._topics: set[RootName] = set()
        self._heard = -math.inf

    @property
    def roots(self) -> Mapping[RootName, RootInfo]:
        """The roots that are up, as far as the broker told."""
        return self._directory.roots

    @property
    def told(self) -> bool:
        """Whether a broker ever said which roots there are."""
        return self._directory.told

    @property
    def heard(self) -> bool:
        """Whether the broker is there now."""
        return self.told and time.monotonic() - self._heard < SILENCE

    def start(self) -> None:
        """Open the sockets, on the running loop."""
        self._sub = LoopSocket(sockets.make(self._context, zmq.SUB), self._on_note)
        self._sub.subscribe(codec.ROOTS_TOPIC)
        self._wanted = asyncio.Event()
        self._link = BrokerLink(self._context, self._broker, self._broker_lost)

    async def close(self) -> None:
        """Close the sockets."""
        self._sub.close()
        await asyncio.to_thread(self._link.close)

    def listen(self, name: RootName) -> None:
        """Hear what is said about a root from here on."""
        if name not in self._topics:  # ZeroMQ counts: once is enough
            self._topics.add(name)
            self._sub.subscribe(codec.root_topic(name))

    def leave(self, name: RootName) -> None:
        """Hear no more of a root."""
        if name in self._topics:
            self._topics.discard(name)
            self._sub.unsubscribe(codec.root_topic(name))

    async def follow(self) -> None:
        """Greet the broker, ask for snapshots when needed, and greet again when it is silent."""
        xpub = ""
        while True:
            hello = await self._link.hello()
            if hello.xpub != xpub:
                if xpub:
                    self._sub.disconnect(xpub)
                xpub = hello.xpub
                self._sub.connect(xpub)
            self._heard = time.monotonic()
            self._directory.needs_snapshot = True
            try:
                while time.monotonic() - self._heard < SILENCE:
                    if self._directory.needs_snapshot:
                        self._on_moved(self._directory.snapshot(await self._link.snapshot()))
                    self._wanted.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wanted.wait(), limits.BEAT)
                        await asyncio.sleep(random.uniform(0, 0.1))  # noqa: S311 - jitter
            except CatervaError as error:
                log.warning("the broker is away: %s", error)

    def _broker_lost(self) -> None:
        """Greet it as soon as it is back, rather than after a silence."""
        self._heard = -math.inf
        self._wanted.set()

    def _on_note(self, frames: Frames) -> None:
        try:
            if frames[0] == codec.ROOTS_TOPIC:
                self._heard = time.monotonic()
                self._on_moved(self._directory.note(codec.roots_notes(frames[1:])))
                if self._directory.needs_snapshot:
                    self._wanted.set()
                return
            note = codec.root_notes(frames[1:])
        except BadMessage as error:
            log.warning("dropped a note: %s", error)
            return
        if frames[0] == codec.root_topic(note.root):
            self._on_root_note(note)
