"""Data requests under way: a task for each, bounded for each peer, its share and in all.

A reader that takes nothing loses its request at the deadline.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from caterva2.errors import Busy, CatervaError, Internal
from caterva2.limits import DEFAULTS, PublisherLimits
from caterva2.publisher.monitoring import Served
from caterva2.publisher.outgoing import ReaderGone
from caterva2.runtime.logs.bounded import BoundedLog
from caterva2.wire import codec, messages
from caterva2.wire.responder import Peer, PeerGone, Responder

log = logging.getLogger(__name__)
INFO_DEADLINE = 5.0
"""Seconds for a description: its request names no deadline."""
SPARE = 4
"""Times ALL_JOBS that requests are taken of peers that have no other."""
RETRY_SEND = 0.005
"""Seconds between two attempts to send to a reader whose queue is full."""
Asked = messages.DatasetRequest | messages.CatalogRequest
Answer = Callable[[Peer, Any, float], Awaitable[None]]
"""Answers a request of a peer until a monotonic time, by sending replies."""
Answers = Mapping[type[Any], Answer]
"""What answers a request of a type."""


class Jobs:
    """The requests that a data socket works on.

    Parameters
    ----------
    responder : Responder
        Of the data socket; its handlers for these requests are set here.
    answers : mapping
    limits : PublisherLimits, optional
    served : Served, optional
    check : callable, optional
        Raises the reason why a request of a peer is not to be answered.
    on_error : callable, optional
        Called with a request that failed, and why.

    Attributes
    ----------
    served : Served
    """

    def __init__(
        self,
        responder: Responder[messages.DataRequest],
        answers: Answers,
        limits: PublisherLimits = DEFAULTS.publisher,
        served: Served | None = None,
        check: Callable[[Peer, messages.RootRequest], None] = lambda *_: None,
        on_error: Callable[[Any, CatervaError], None] = lambda *_: None,
    ) -> None:
        self._responder = responder
        self._answers = answers
        self._limits = limits
        self._check = check
        self._on_error = on_error
        self._log = BoundedLog(log)
        self._tasks: dict[tuple[Peer, int], asyncio.Task[None]] = {}
        self._by_peer: Counter[Peer] = Counter()
        self._by_share: Counter[str] = Counter()
        self.served = served or Served()
        for kind in answers:
            responder.handle(kind, self.start)
        responder.handle(messages.Cancel, self.cancel)

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def filled(self) -> int:
        """Requests that are worked on, in percent of those of all peers that are taken."""
        return 100 * len(self._tasks) // self._limits.all_jobs

    def start(self, peer: Peer, request: Asked) -> None:
        """Begin to answer a request for the catalog, descriptions, chunks, blocks or bytes.

        Raises
        ------
        Busy
            If too many requests are under way, of this peer, of its share or of all.
        """
        self._check(peer, request)
        limits = self._limits
        under_way = self._by_share[peer.share]
        # Who has none under way is taken, too, where the others have used up all places.
        full = len(self._tasks) >= limits.all_jobs * (1 if under_way else SPARE)
        if full or under_way >= limits.share_jobs or self._by_peer[peer] >= limits.peer_jobs:
            raise Busy("too many requests at once", after_ms=200)
        key = (peer, request.id)
        if key in self._tasks:
            return
        task = asyncio.create_task(self._answer(peer, request))
        self._tasks[key] = task
        self._count(peer, 1)
        task.add_done_callback(lambda _: self._ended(key))

    def _ended(self, key: tuple[Peer, int]) -> None:
        del self._tasks[key]
        self._count(key[0], -1)

    def _count(self, peer: Peer, jobs: int) -> None:
        self._by_peer[peer] += jobs
        self._by_share[peer.share] += jobs
        if not self._by_peer[peer]:
            del self._by_peer[peer]
        if not self._by_share[peer.share]:
            del self._by_share[peer.share]

    def cancel(self, peer: Peer, request: messages.Cancel) -> None:
        """Stop working on a request that its peer does not wait for any more."""
        task = self._tasks.get((peer, request.id))
        if task is not None:
            task.cancel()

    async def stop(self) -> None:
        """Cancel all requests."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, peer: Peer, request: Asked) -> None:
        self.served.requests += 1
        began = time.monotonic()
        deadline_ms = getattr(request, "deadline_ms", INFO_DEADLINE * 1000)
        try:
            answer = self._answers[type(request)]
            await answer(peer, request, began + deadline_ms / 1000)
            self.served.answered(request.type, began)
        except ReaderGone as error:
            self._log.note(logging.INFO, "gave up a %s: %s", request.type, error)
        except CatervaError as error:
            self._on_error(request, error)
            self.served.answered(request.type, began, error)
            level = logging.WARNING if error.code >= 500 else logging.INFO
            self._log.note(level, "%s", error)
            await self._fail(peer, request.id, error)
        except Exception as error:
            self.served.answered(request.type, began, Internal("failed"))
            log.exception("%s failed", request.type)
            await self._fail(peer, request.id, Internal(f"{type(error).__name__} at the publisher"))

    async def _fail(self, peer: Peer, request_id: int, error: CatervaError) -> None:
        try:
            message = codec.error_message(request_id, error)
            await self.send(peer, message, (), time.monotonic() + 1)
        except ReaderGone:
            self._log.note(logging.INFO, "an error did not reach its reader: %s", error)

    async def send(
        self, peer: Peer, reply: messages.DataReply, payload: tuple[memoryview, ...], until: float
    ) -> None:
        """Send a reply, and wait for room in the queue of its peer.

        Raises
        ------
        ReaderGone
        """
        frames = codec.encode(reply, payload)
        until = min(until, time.monotonic() + self._limits.idle)
        try:
            while not self._responder.send(peer, frames, copy=False):
                if time.monotonic() >= until:
                    raise ReaderGone("its reader takes nothing")
                await asyncio.sleep(RETRY_SEND)
        except PeerGone as error:
            raise ReaderGone(f"its reader is gone: {error}") from None
