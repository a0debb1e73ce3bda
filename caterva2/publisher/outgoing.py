"""Memory for payload on its way to readers, bounded for each reader and in all."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
import weakref
from collections.abc import Callable, Iterable

from caterva2.errors import Busy
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.runtime.budget import Hold
from caterva2.runtime.fair_shares import FairShares
from caterva2.runtime.lru import Lru
from caterva2.wire.responder import Peer

_ANY = 2**62
"""Bytes of all parts: shares bound them."""
SEEN = 4
"""Peers for each of ALL_JOBS of which it is known when they took something last."""


class ReaderGone(Exception):
    """A reader closed its connection, or took nothing until the deadline."""


class ReplyReservation:
    """Memory reserved for one reply, until ZeroMQ has handed its payload to the system."""

    def __init__(self, holds: Iterable[Hold], on_sent: Callable[[], None] = lambda: None) -> None:
        self._holds = tuple(holds)
        self._on_sent = on_sent
        self._loop = asyncio.get_running_loop()

    def wrap(self, payload: bytes) -> memoryview:
        """Return the payload to send; the memory is released with the last reference to it."""
        for hold in self._holds:
            hold.grow(len(payload))
        view = memoryview(payload)
        weakref.finalize(view, self._sent).atexit = False
        return view

    def _sent(self) -> None:
        """Release the memory; called by whichever thread drops the last reference."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._taken)

    def _taken(self) -> None:
        self.release()
        self._on_sent()

    def release(self) -> None:
        """Give the memory back without sending anything."""
        for hold in self._holds:
            hold.release()


class Outgoing:
    """The memory for payload at a publisher.

    A reader that takes nothing fills its own part, and no more is read for it; all connections of
    a holder or an address together fill one share. When such shares have filled all memory, each
    of the others still has one reply at a time under way.

    Parameters
    ----------
    limits : PublisherLimits, optional
    """

    def __init__(self, limits: PublisherLimits = DEFAULTS.publisher) -> None:
        self._parts: FairShares[Peer] = FairShares(_ANY, limits.peer_bytes)
        self._shares: FairShares[str] = FairShares(limits.all_bytes, limits.share_bytes)
        self._idle = limits.idle
        self._taken: Lru[Peer, float] = Lru(limits.all_jobs * SEEN)

    @property
    def used(self) -> int:
        """Bytes of replies on their way."""
        return self._shares.used

    @property
    def readers(self) -> int:
        """Number of peers with replies on their way."""
        return len(self._parts)

    async def room(self, peer: Peer, size: int, until: float) -> ReplyReservation:
        """Wait for memory for a reply.

        Raises
        ------
        ReaderGone
            If the peer has not taken its earlier replies until a monotonic time, or nothing of
            them for a while.
        """
        began = time.monotonic()
        while True:
            end = min(until, max(began, self._taken.get(peer) or began) + self._idle)
            now = time.monotonic()
            if now >= end:
                raise ReaderGone("its reader takes nothing")
            with contextlib.suppress(Busy):
                with await self._parts.take(peer, size, end - now) as part:
                    share = await self._shares.take(peer.share, size, end - time.monotonic())
                return ReplyReservation((part, share), functools.partial(self._note, peer))

    def _note(self, peer: Peer) -> None:
        """Note that a peer has taken something."""
        self._taken.put(peer, time.monotonic())
