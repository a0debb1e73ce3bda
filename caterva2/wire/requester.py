"""Concurrent requests to one endpoint, from a thread of its own.

Payloads are handled on this thread and never enter an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import zmq
from zmq.utils.monitor import recv_monitor_message

from caterva2.errors import BadMessage, CatervaError, Internal, RootOffline
from caterva2.limits import DEFAULTS, WireLimits
from caterva2.limits.constants import SHUTDOWN
from caterva2.wire import codec, dealers, messages, sockets
from caterva2.wire.auth.curve import Protect, plain
from caterva2.wire.calls import Call, CallTable, Single
from caterva2.wire.messages import Reply, Request

log = logging.getLogger(__name__)
R = TypeVar("R", bound=Reply)


class Requester(Generic[R]):
    """A DEALER socket with its thread.

    Parameters
    ----------
    context : zmq.Context
    endpoint : str
        ROUTER to connect to; it need not be there yet.
    name : str
        The other side, as error messages name it.
    on_lost, on_failing, complete : callable, optional
        Called on the requester's thread: when an established connection is lost, when it is lost
        or refused and was not `failing` before, and with each request, to complete it.
    protect, locate : callable, optional
        Have the connection encrypted, and the name in the endpoint resolved.

    Attributes
    ----------
    up : bool
        Whether something arrived, and the connection was not lost since.
    heard : float
        Monotonic time at which something arrived last.
    failing, refused : bool
        Whether the connection was lost or refused, and nothing arrived since; whether the last
        attempt to connect was refused.
    """

    def __init__(
        self,
        context: sockets.Context,
        endpoint: str,
        decoder: codec.Decoder[R],
        name: str,
        on_lost: Callable[[], None] = lambda: None,
        on_failing: Callable[[], None] = lambda: None,
        limits: WireLimits = DEFAULTS.wire,
        protect: Protect = plain,
        complete: Callable[[Request], Request] = lambda request: request,
        locate: Callable[[str], str] = str,
    ) -> None:
        self._context = context
        self._locate = locate
        self._complete = complete
        self._protect = protect
        self._limits = limits
        self._on_lost = on_lost
        self._on_failing = on_failing
        self.endpoint = endpoint
        self.up = self.failing = self.refused = False
        self.heard = -math.inf
        self._name = name
        self._decode = decoder
        self._table: CallTable[R] = CallTable(limits)
        self._inbox: deque[tuple[str, Call[R]]] = deque()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._closing = False
        self._draining = False
        self._lock = threading.Lock()
        self._blocked = self._lost = False
        self._given_up: set[int] = set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    # --- any thread ---

    def submit(self, call: Call[R]) -> None:
        """Send a request as soon as credit allows."""
        self._post("submit", call)

    def cancel(self, call: Call[R]) -> None:
        """Stop waiting for a call, and send a `Cancel`; its methods are not called any more."""
        self._post("cancel", call)

    async def ask(self, request: Request, timeout: float | None = None) -> R:
        """Send a request and await its single reply.

        Parameters
        ----------
        request : Request
        timeout : float, optional
            Seconds, retries included; ``request_deadline`` of the limits by default.

        Raises
        ------
        CatervaError
            The error that the other side answered, or `DeadlineExceeded`.
        """
        seconds = self._limits.request_deadline if timeout is None else timeout
        call: Single[R] = Single(request, time.monotonic() + seconds)
        self.submit(call)
        return await asyncio.wrap_future(call.future)

    def set_credit(self, requests: int) -> None:
        """Set how many requests may be in flight, as the other side's hello granted."""
        self._table.credit = max(1, min(requests, 1024))

    @property
    def ended(self) -> bool:
        """Whether it was closed, or its thread failed."""
        return self._closing

    def end(self) -> None:
        """Let the thread end; unfinished calls fail with `RootOffline`."""
        with self._lock:
            self._closing = True
            self._wake()

    def drain(self) -> None:
        """Let the thread end as soon as no call is under way."""
        with self._lock:
            self._draining = True
            self._wake()

    @property
    def draining(self) -> bool:
        """Whether it goes on with calls that are under way only."""
        return self._draining and not self._closing

    def close(self) -> None:
        """End the thread, and wait for that."""
        self.end()
        self._thread.join(SHUTDOWN)

    def _post(self, what: str, call: Call[R]) -> None:
        with self._lock:
            if not self._closing:
                self._inbox.append((what, call))
                self._wake()
                return
        if what == "submit":
            call.on_error(self._gone())

    def _gone(self) -> RootOffline:
        return RootOffline(f"{self._name} went away before it answered")

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # full: it will wake up anyway
            self._wake_in.send(b"\0")

    # --- the requester's thread ---

    def _run(self) -> None:
        dealer: sockets.Socket | None = None
        try:
            dealer = self._connect()
            while not self._closing:
                self._take_inbox(dealer)
                self._send_due(dealer)
                self._poll(dealer)
                self._receive(dealer)
                dealer = self._expire(dealer)
                self._end_if_drained()
        except CatervaError as error:
            log.warning("%s is not reached: %s", self._name, error)
        except Exception:
            log.exception("requester for %s failed", self.endpoint)
        finally:
            self._fail_rest()
            if dealer is not None:
                dealers.close(dealer)

    def _connect(self) -> sockets.Socket:
        self._connected = time.monotonic()
        at = self._locate(self.endpoint)
        return dealers.connect(self._context, at, self._limits, self._protect)

    def _fail_rest(self) -> None:
        """Fail all calls, and refuse those to come."""
        with self._lock:
            self._closing = True
            self._take_inbox(None)
            self._wake_in.close()
            self._wake_out.close()
        for call in self._table.fail_all():
            try:
                call.on_error(self._gone())
            except Exception:  # the others must hear of it all the same
                log.exception("a call to %s could not be failed", self.endpoint)

    def _end_if_drained(self) -> None:
        with self._lock:
            if self._draining and not self._inbox and not len(self._table):
                self._closing = True

    def _take_inbox(self, dealer: sockets.Socket | None) -> None:
        while self._inbox:
            what, call = self._inbox.popleft()
            if what == "submit":
                self._table.submit(call)
            elif (request_id := self._table.cancel(call)) is not None and dealer is not None:
                self._send_cancel(dealer, request_id)

    def _send_cancel(self, dealer: sockets.Socket, request_id: int) -> None:
        with contextlib.suppress(zmq.Again):
            dealer.send_multipart(codec.encode(messages.Cancel(id=request_id)), zmq.DONTWAIT)

    def _send_due(self, dealer: sockets.Socket) -> None:
        self._blocked = False
        for request_id, call in self._table.due(time.monotonic()):
            request = call.message(request_id)
            if request is None:
                self._table.drop(request_id)
                continue
            try:
                dealer.send_multipart(codec.encode(self._complete(request)), zmq.DONTWAIT)
            except zmq.Again:  # not connected, or its queue is full
                self._table.unsent(request_id)
                self._blocked = True
                return

    def _poll(self, dealer: sockets.Socket) -> None:
        monitor = dealers.monitor(dealer)
        poller = zmq.Poller()
        poller.register(monitor, zmq.POLLIN)
        poller.register(dealer, zmq.POLLIN | (zmq.POLLOUT if self._blocked else 0))
        poller.register(self._wake_out.fileno(), zmq.POLLIN)
        wait = 1.0 if self._blocked else self._table.wait(time.monotonic())
        wait = min(wait, dealers.DENIED_PAUSE) if self._given_up else wait
        ready = dict(poller.poll(int(wait * 1000) + 1))
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)
        if monitor in ready:
            self._note(recv_monitor_message(monitor)["event"])

    def _note(self, event: int) -> None:
        """Note what became of the connection."""
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.refused = False
            self._given_up.clear()
            return
        if event in dealers.GIVEN_UP:
            if event not in self._given_up:
                log.warning("%s at %s %s", self._name, self.endpoint, dealers.GIVEN_UP[event])
            self._given_up.add(event)
        self.refused = bool(self._given_up) or event == zmq.EVENT_CLOSED
        self._lost |= event == zmq.EVENT_DISCONNECTED
        if not self.failing:
            self.failing = True
            self._on_failing()

    def _receive(self, dealer: sockets.Socket) -> None:
        for _ in range(sockets.LoopSocket.BURST):
            try:
                frames = dealer.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            self.up, self.heard = True, time.monotonic()
            self.failing = False
            self._handle(dealer, [frame.buffer for frame in frames])

    def _handle(self, dealer: sockets.Socket, frames: list[memoryview]) -> None:
        now = time.monotonic()
        try:
            reply = self._decode(frames)
        except BadMessage as bad:
            log.warning("%s sent a bad message: %s", self.endpoint, bad)
            self._fail_unreadable(dealer, bad, now)
            return
        call = self._table.get(reply.id, now)
        if call is None:
            return
        failure = self._delivered(call, reply, frames[2:])
        if failure is None:
            return
        if not isinstance(reply, messages.Error):  # the rest of the answer is of no use
            self._send_cancel(dealer, reply.id)
        final = self._table.failed(reply.id, failure, now)
        if final is not None:
            call.on_error(final)

    def _fail_unreadable(self, dealer: sockets.Socket, bad: BadMessage, now: float) -> None:
        """Fail the call that a bad message replies to, if its id can be read."""
        request_id = codec.request_id(bad)
        call = self._table.get(request_id, now) if request_id else None
        if call is None:
            return
        self._send_cancel(dealer, request_id)
        self._table.drop(request_id)
        call.on_error(BadMessage(f"{self._name} sent a bad message: {bad.detail}"))

    def _delivered(self, call: Call[R], reply: R, payload: list[memoryview]) -> CatervaError | None:
        """Give a reply to its call; return the error, if any."""
        if excess := self._table.arrived(reply.id, sum(map(len, payload))):
            return excess
        if isinstance(reply, messages.Error):
            return codec.to_exception(reply, call.subject)
        try:
            if call.on_reply(reply, payload):
                self._table.drop(reply.id)
            else:
                self._table.progress(reply.id)
        except CatervaError as error:
            return error
        except Exception as error:
            log.exception("handling a reply of %s failed", self.endpoint)
            return Internal(f"handling a reply failed: {error}")
        return None

    def _expire(self, dealer: sockets.Socket) -> sockets.Socket:
        lost, silent = self._table.expire(time.monotonic())
        if self._lost and not silent:  # ZeroMQ connects again, but what was under way is lost
            lost += self._table.restart(time.monotonic())
        if self._lost or silent:
            self.up = False
            self._on_lost()
        self._lost = False
        for call, error in lost:
            call.on_error(error)
        again = bool(self._given_up) and time.monotonic() - self._connected > dealers.DENIED_PAUSE
        if not silent and not again:
            return dealer
        if silent:
            log.warning("%s is silent: connecting anew", self.endpoint)
        dealers.close(dealer)
        return self._connect()
