"""Requests to a mirror: hits and misses are awaited apart, so that none waits for another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from caterva2.errors import DeadlineExceeded, RootOffline
from caterva2.limits import DEFAULTS, Limits
from caterva2.mirror.answers import RootAnswers
from caterva2.names import DatasetPath
from caterva2.publisher.jobs import Answers, Jobs
from caterva2.publisher.monitoring import Served
from caterva2.publisher.outgoing import Outgoing, ReplyReservation
from caterva2.wire import messages
from caterva2.wire.responder import Peer, Responder

_PAYLOAD = (messages.Chunks, messages.Blocks, messages.Bytes)


class MirrorRequests:
    """The data requests that a mirror of one root works on.

    Parameters
    ----------
    answers : RootAnswers
    responder : Responder
        Of the data socket; its handlers for these requests are set here.
    check : callable
        Raises the reason why a request of a peer is not to be answered.
    covers : callable, optional
        Says whether a dataset is served.
    limits : Limits, optional
    served : Served, optional
    """

    def __init__(
        self,
        answers: RootAnswers,
        responder: Responder[messages.DataRequest],
        check: Callable[[Peer, messages.RootRequest], None],
        covers: Callable[[DatasetPath], bool] = lambda _: True,
        limits: Limits = DEFAULTS,
        served: Served | None = None,
    ) -> None:
        self._given = answers
        self._refuse = check
        self._covers = covers
        self._reply_bytes = limits.publisher.reply_bytes
        self.outgoing = Outgoing(limits.publisher)
        kinds = (
            messages.CatalogRequest, messages.InfoRequest, messages.InfosRequest,
            messages.ChunksRequest, messages.BlocksRequest, messages.BytesRequest,
        )  # fmt: skip
        of_kinds: Answers = dict.fromkeys(kinds, self._answer)
        self.jobs = Jobs(responder, of_kinds, limits.publisher, served, self._check)

    @property
    def load(self) -> int:
        """How busy it is, in percent."""
        return min(100, self.jobs.filled)

    async def stop(self) -> None:
        """Cancel all requests."""
        await self.jobs.stop()

    def _check(self, peer: Peer, request: messages.RootRequest) -> None:
        self._refuse(peer, request)
        payload = (messages.ChunksRequest, messages.BlocksRequest, messages.BytesRequest)
        if isinstance(request, payload) and not self._covers(request.path):
            raise RootOffline("this mirror does not serve it", subject=request.path)

    async def _answer(self, peer: Peer, request: messages.DataRequest, until: float) -> None:
        rooms: list[ReplyReservation] = []

        async def room() -> None:
            rooms.append(await self.outgoing.room(peer, self._reply_bytes, until))

        try:
            async with contextlib.aclosing(self._given.to(request, room)) as replies:
                async for reply, payload in replies:
                    await self._send(peer, reply, payload, until, rooms)
        except TimeoutError:
            raise DeadlineExceeded("it did not arrive in time") from None
        finally:
            for one in rooms:
                one.release()

    async def _send(
        self,
        peer: Peer,
        reply: messages.DataReply,
        payload: bytes,
        until: float,
        rooms: list[ReplyReservation],
    ) -> None:
        """Send a reply; no reference to its payload is left when this returns."""
        if not isinstance(reply, _PAYLOAD):
            await self.jobs.send(peer, reply, (), until)
            return
        self.jobs.served.bytes += len(payload)
        if isinstance(reply, messages.Chunks):
            self.jobs.served.chunks += len(reply.n) - reply.sizes.count(0)
        await self.jobs.send(peer, reply, (rooms.pop().wrap(payload),), until)
