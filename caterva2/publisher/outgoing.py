"""Payload on its way to the readers of a publisher, bounded for each of them and in all."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref

from caterva2 import limits
from caterva2.errors import Busy
from caterva2.runtime.budget import Budget, Hold


class ReaderGone(Exception):
    """There is nobody to send to."""


class ReplyReservation:
    """Room for one reply, and then its payload, until ZeroMQ has handed it to the system."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._loop = asyncio.get_running_loop()

    def wrap(self, payload: bytes) -> memoryview:
        """The payload to send; its room is given back when nobody refers to it any more."""
        self._hold.grow(len(payload))
        view = memoryview(payload)
        weakref.finalize(view, self._sent).atexit = False
        return view

    def _sent(self) -> None:
        """Called by whichever thread lets go last."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._hold.release)

    def release(self) -> None:
        self._hold.release()


class Outgoing:
    """The room for payload at a publisher.

    A reader that takes nothing fills its own share, and nothing more is read for it. When such
    readers have filled all room, each of the others still has one reply at a time under way.
    """

    def __init__(self) -> None:
        self._all = Budget(limits.PUBLISHER_BYTES)
        self._shares: dict[bytes, Budget] = {}

    async def room(self, peer: bytes, size: int, until: float) -> ReplyReservation:
        """Wait for room for a reply.

        Raises
        ------
        ReaderGone
            If the peer has not taken what it got before in time.
        """
        share = self._shares.get(peer)
        if share is None:
            share = self._shares[peer] = Budget(limits.PEER_BYTES, within=self._all)
        try:
            return ReplyReservation(await share.take(size, until - time.monotonic()))
        except Busy:
            raise ReaderGone("its reader takes nothing") from None

    def forget_idle(self) -> None:
        """Keep no account of readers that have taken everything."""
        for peer in [peer for peer, share in self._shares.items() if share.idle]:
            del self._shares[peer]
