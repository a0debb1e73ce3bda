"""Requests for one root to an upstream: what a `Requester` is where there is no ZeroMQ."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from caterva2.errors import (
    Busy,
    CatervaError,
    Damaged,
    DeadlineExceeded,
    Internal,
    RootOffline,
    SlowDown,
)
from caterva2.limits import DEFAULTS, WireLimits
from caterva2.limits.constants import SHUTDOWN
from caterva2.names import RootName
from caterva2.rest import media
from caterva2.subscriber.upstream.replies import replies
from caterva2.subscriber.upstream.session import Lost, Session, exchange_path
from caterva2.subscriber.upstream.shown import Shown
from caterva2.wire import codec, messages
from caterva2.wire.calls import Call, Single
from caterva2.wire.messages import DataReply, Request

log = logging.getLogger(__name__)
_AGAIN = (Busy, SlowDown, Damaged, Lost)
"""Errors after which a request is sent again."""
_END_S = 1.0
"""Seconds for the end of a body behind the last reply; else its connection is not used again."""


@dataclass(slots=True)
class _State:
    """What came of one try: replies, and whether the last was among them."""

    arrived: int = 0
    done: bool = False


class HttpRequester:
    """Requests for one root, over the connections of a session.

    Parameters
    ----------
    session : Session
    root : RootName
    shown : Shown
        Names who may read the root here.
    on_failing : callable, optional
        Called on the session's thread when the upstream is lost, and was not `failing` before.
    limits : WireLimits
    complete : callable, optional
        Called with each request, to complete it.

    Attributes
    ----------
    endpoint : str
    up, failing, refused : bool
    heard : float
        As of a `Requester`.
    """

    def __init__(
        self,
        session: Session,
        root: RootName,
        shown: Shown,
        on_failing: Callable[[], None] = lambda: None,
        limits: WireLimits = DEFAULTS.wire,
        complete: Callable[[Request], Request] = lambda request: request,
    ) -> None:
        self.endpoint = session.url
        self.up = self.failing = self.refused = False
        self.heard = -math.inf
        self._session = session
        self._root = root
        self._path = exchange_path(root)
        self._shown = shown
        self._on_failing = on_failing
        self._limits = limits
        self._complete = complete
        self._running: dict[Call[DataReply], asyncio.Task[None]] = {}
        self._idle = threading.Event()
        self._idle.set()
        self._closing = self._draining = self._over = False

    # --- any thread ---

    def submit(self, call: Call[DataReply]) -> None:
        """Send a request."""
        if self._closing or not self._session.post(self._begin, call):
            call.on_error(self._gone())

    def cancel(self, call: Call[DataReply]) -> None:
        """Stop waiting for a call; its methods are not called any more."""
        self._session.post(self._cancel, call)

    async def ask(self, request: Request, timeout: float | None = None) -> DataReply:
        """Send a request and await its single reply, as `Requester.ask` does."""
        seconds = self._limits.request_deadline if timeout is None else timeout
        call: Single[DataReply] = Single(request, time.monotonic() + seconds)
        self.submit(call)
        return await asyncio.wrap_future(call.future)

    def set_credit(self, requests: int) -> None:
        """Do nothing: the connections bound what is under way."""

    @property
    def ended(self) -> bool:
        """Whether it was closed."""
        return self._closing

    @property
    def draining(self) -> bool:
        """Whether it goes on with calls that are under way only."""
        return self._draining and not self._closing

    def end(self) -> None:
        """Fail unfinished calls with `RootOffline`, and refuse those to come."""
        self._closing = True
        if not self._session.post(self._end):
            self._end()

    def drain(self) -> None:
        """End as soon as no call is under way."""
        self._draining = True
        self._session.post(self._end_if_drained)

    def close(self) -> None:
        """End, and wait until no call is under way. Blocks."""
        self.end()
        self._idle.wait(SHUTDOWN)

    def _gone(self) -> RootOffline:
        return RootOffline(f"the upstream of root {self._root} went away before it answered")

    # --- the session's thread ---

    def _begin(self, call: Call[DataReply]) -> None:
        if self._over:
            call.on_error(self._gone())
            return
        self._idle.clear()
        self._running[call] = asyncio.get_running_loop().create_task(self._serve(call))

    def _cancel(self, call: Call[DataReply]) -> None:
        task = self._running.pop(call, None)
        if task is not None:
            task.cancel()
        self._end_if_drained()

    def _end(self) -> None:
        self._over = True
        for call, task in list(self._running.items()):
            self._running.pop(call, None)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                task.cancel()
            call.on_error(self._gone())
        self._idle.set()

    def _end_if_drained(self) -> None:
        if not self._running:
            self._idle.set()
            self._closing |= self._draining
            self._over |= self._draining

    async def _serve(self, call: Call[DataReply]) -> None:
        """Send a request until it is answered, or given up."""
        try:
            error = await self._tried(call)
        except asyncio.CancelledError:
            if self._running.pop(call, None) is not None:  # the session ends
                call.on_error(self._gone())
            raise
        except Exception as failure:
            log.exception("a request to the upstream failed")
            error = Internal(f"handling a reply failed: {failure}")
        if self._running.pop(call, None) is not None and error is not None:
            call.on_error(error)
        self._end_if_drained()

    async def _tried(self, call: Call[DataReply]) -> CatervaError | None:
        tries = 0
        while True:
            request = call.message(1)
            if request is None:
                return None
            state = _State()
            try:
                async with asyncio.timeout_at(call.deadline):
                    await self._exchange(call, request, state)
                return None
            except TimeoutError:
                return None if state.done else DeadlineExceeded("no answer before the deadline")
            except CatervaError as error:
                if state.done:
                    return None
                tries = 0 if state.arrived else tries
                if isinstance(error, Lost):
                    self._note_failing()
                if not isinstance(error, _AGAIN) or tries >= self._limits.retries:
                    return error
                call.on_retry(error)
                tries += 1
                pause = random.uniform(0, self._limits.backoff * 2**tries)  # noqa: S311 - jitter
                await asyncio.sleep(max(error.after_ms / 1000, pause))

    async def _exchange(self, call: Call[DataReply], request: Request, state: _State) -> None:
        """Send a request once, and give the replies to its call until the last."""
        header = codec.encode(self._shown.translated(self._root, self._complete(request)))[1]
        patience = self._limits.first_byte + call.extra_patience
        left = call.payload_most
        free = self._session.bulk if left else contextlib.nullcontext()
        async with (
            free,
            self._session.answer(
                "POST", self._path, media.MESSAGES, patience, bytes(header)
            ) as pieces,
            contextlib.aclosing(replies(pieces, lambda: left)) as found,
        ):
            async for reply, payload in found:
                self._note_heard()
                left -= len(payload)
                if isinstance(reply, messages.Error):
                    raise codec.to_exception(reply, call.subject)
                if call.on_reply(self._shown.of(reply), [payload]):
                    state.done = True
                    self._running.pop(call, None)  # none of its methods is called any more
                    await _read_to_end(found)
                    return
                state.arrived += 1
        raise Lost("the upstream's answer ended too early")

    def _note_heard(self) -> None:
        self.up, self.heard = True, time.monotonic()
        self.failing = self.refused = False

    def _note_failing(self) -> None:
        self.up, self.refused = False, True
        if not self.failing:
            self.failing = True
            self._on_failing()


async def _read_to_end(found: AsyncIterator[object]) -> None:
    """Read the end of a body, so that its connection can be used again."""
    with contextlib.suppress(TimeoutError, CatervaError):
        async with asyncio.timeout(_END_S):
            async for _ in found:
                return
