"""The requests of one requester: credit, time-outs and retries.

A pure state machine: time is a parameter, and the caller does the sending.
"""

from __future__ import annotations

import itertools
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from caterva2.errors import BadMessage, Busy, CatervaError, Damaged, DeadlineExceeded, SlowDown
from caterva2.limits import DEFAULTS, WireLimits
from caterva2.wire.messages import Reply, Request

R = TypeVar("R", bound=Reply)
IDLE = 60.0
"""Seconds for which a requester without calls waits at most; a call, or an event, wakes it up."""


class Call(ABC, Generic[R]):
    """A request until it is answered or given up, its retries included.

    All methods are called on the requester's thread. Requests are idempotent: `message` may be
    called again after a part of the answer has arrived, and then names only what is missing.
    """

    deadline: float
    """Monotonic time in seconds at which the call is given up."""
    extra_patience: float = 0.0
    """Seconds of silence allowed beyond ``first_byte`` of `WireLimits`, for a large answer."""
    payload_most: int = 0
    """Bytes of payload that the whole answer may have; known when the request is sent."""
    subject: str = ""
    """Path of the dataset that is requested, if it is one."""

    @abstractmethod
    def message(self, request_id: int) -> Request | None:
        """Return the request to send, or None if nothing is missing any more."""

    @abstractmethod
    def on_reply(self, reply: R, payload: Sequence[memoryview]) -> bool:
        """Take a reply; return whether it was the last. An error raised here ends the call."""

    @abstractmethod
    def on_error(self, error: CatervaError) -> None:
        """Take the error of a call that is not tried again."""

    def on_retry(self, error: CatervaError) -> None:
        """Take the error because of which the call is tried again."""


class Single(Call[R]):
    """A call with one reply, which becomes the result of a future."""

    def __init__(self, request: Request, deadline: float) -> None:
        self.deadline = deadline
        self.subject = getattr(request, "path", "")
        self.future: Future[R] = Future()
        self._request = request

    def message(self, request_id: int) -> Request | None:
        if self.future.cancelled():
            return None
        return self._request.model_copy(update={"id": request_id})

    def on_reply(self, reply: R, payload: Sequence[memoryview]) -> bool:
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(reply)
        return True

    def on_error(self, error: CatervaError) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class AsksFor(Protocol[R]):
    """Sends calls to one other side, and brings their replies: a `Requester`, or its like.

    Attributes are those of a `Requester`.
    """

    endpoint: str
    up: bool
    heard: float
    failing: bool
    refused: bool

    def submit(self, call: Call[R], /) -> None:
        """Send a request; the call's methods are called on another thread."""
        ...

    def cancel(self, call: Call[R], /) -> None:
        """Stop waiting for a call; its methods are not called any more."""
        ...

    async def ask(self, request: Request, timeout: float | None = None) -> R:
        """Send a request and await its single reply, or raise the error."""
        ...

    def set_credit(self, requests: int, /) -> None:
        """Set how many requests may be in flight."""
        ...

    @property
    def ended(self) -> bool:
        """Whether it answers no more."""
        ...

    @property
    def draining(self) -> bool:
        """Whether it goes on with calls that are under way only."""
        ...

    def end(self) -> None:
        """Fail unfinished calls with `RootOffline`."""
        ...

    def drain(self) -> None:
        """End as soon as no call is under way."""
        ...

    def close(self) -> None:
        """End, and wait for that. Blocks."""
        ...


@dataclass(slots=True)
class _Flight(Generic[R]):
    call: Call[R]
    silent_since: float = 0.0
    payload: int = 0
    tries: int = 0
    not_before: float = 0.0


class CallTable(Generic[R]):
    """All calls of a requester.

    Parameters
    ----------
    limits : WireLimits, optional
        ``credit`` bounds the requests in flight until the other side's hello is known.
    """

    def __init__(self, limits: WireLimits = DEFAULTS.wire) -> None:
        self.credit = limits.credit
        self._limits = limits
        self._heard = 0.0
        self._ids = itertools.count(1)
        self._waiting: deque[_Flight[R]] = deque()
        self._flying: dict[int, _Flight[R]] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._flying)

    def submit(self, call: Call[R]) -> None:
        """Add a call, to be sent as soon as credit allows."""
        self._waiting.append(_Flight(call))

    def due(self, now: float) -> Iterator[tuple[int, Call[R]]]:
        """Yield the calls that may be sent now, each with a new id; what is not consumed stays."""
        for _ in range(len(self._waiting)):
            if len(self._flying) >= self.credit:
                return
            flight = self._waiting.popleft()
            if flight.not_before > now:
                self._waiting.append(flight)
                continue
            request_id = next(self._ids)
            flight.silent_since, flight.payload = now, 0
            self._flying[request_id] = flight
            yield request_id, flight.call

    def unsent(self, request_id: int) -> None:
        """Put a call that the socket did not take back in front."""
        self._waiting.appendleft(self._flying.pop(request_id))

    def drop(self, request_id: int) -> None:
        """Forget a call that is complete."""
        self._flying.pop(request_id, None)

    def get(self, request_id: int, now: float) -> Call[R] | None:
        """Return the call that a reply belongs to, None for a late reply.

        Any reply ends the silence for all calls: on a thin link replies arrive one at a time.
        """
        self._heard = now
        flight = self._flying.get(request_id)
        return None if flight is None else flight.call

    def arrived(self, request_id: int, size: int) -> CatervaError | None:
        """Count the payload of a reply; return an error if there is more than was asked for.

        It is final: to ask again would bring as much again.
        """
        flight = self._flying[request_id]
        flight.payload += size
        if flight.payload <= flight.call.payload_most:
            return None
        return BadMessage(
            f"{flight.payload} bytes of payload came where at most {flight.call.payload_most} were"
            " asked for"
        )

    def cancel(self, call: Call[R]) -> int | None:
        """Forget a call; return its id if it was in flight, so that a `Cancel` can be sent."""
        for flight in self._waiting:
            if flight.call is call:
                self._waiting.remove(flight)
                return None
        for request_id, flight in self._flying.items():
            if flight.call is call:
                del self._flying[request_id]
                return request_id
        return None

    def failed(self, request_id: int, error: CatervaError, now: float) -> CatervaError | None:
        """Retry a call that failed and return None, or return the error if it is final."""
        flight = self._flying.pop(request_id)
        if not isinstance(error, Busy | SlowDown | Damaged) or flight.tries >= self._limits.retries:
            return error
        self._retry(flight, now, error)
        return None

    def expire(self, now: float) -> tuple[list[tuple[Call[R], CatervaError]], bool]:
        """Return the calls that are given up, and whether the socket should be replaced.

        A silent peer may be a dead connection that went unnoticed, so after a time-out every
        call in flight is sent again on a new socket.
        """
        lost: list[tuple[Call[R], CatervaError]] = []
        silent = False
        for request_id, flight in list(self._flying.items()):
            if now >= flight.call.deadline:
                del self._flying[request_id]
                lost.append((flight.call, DeadlineExceeded("no answer before the deadline")))
            elif now >= self._silent_at(flight):
                silent = True
        for flight in [f for f in self._waiting if now >= f.call.deadline]:
            self._waiting.remove(flight)
            lost.append((flight.call, DeadlineExceeded("not reached before the deadline")))
        if silent:
            lost += self.restart(now)
        return lost, silent

    def _silent_at(self, flight: _Flight[R]) -> float:
        patience = self._limits.first_byte + flight.call.extra_patience
        return max(flight.silent_since, self._heard) + patience

    def progress(self, request_id: int) -> None:
        """Reset the retry count of a call of which a part has arrived."""
        if request_id in self._flying:
            self._flying[request_id].tries = 0

    def restart(self, now: float) -> list[tuple[Call[R], CatervaError]]:
        """Retry all calls after the connection was lost; return those that are given up."""
        lost: list[tuple[Call[R], CatervaError]] = []
        flights, self._flying = list(self._flying.values()), {}
        for flight in flights:
            if flight.tries >= self._limits.retries:
                lost.append((flight.call, DeadlineExceeded("no answer after several tries")))
            else:
                self._retry(flight, now, DeadlineExceeded("no answer, or the connection was lost"))
        return lost

    def _retry(self, flight: _Flight[R], now: float, error: CatervaError) -> None:
        flight.call.on_retry(error)
        flight.tries += 1
        pause = random.uniform(0, self._limits.backoff * 2**flight.tries)  # noqa: S311 - jitter
        flight.not_before = now + max(error.after_ms / 1000, pause)
        self._waiting.append(flight)

    def fail_all(self) -> list[Call[R]]:
        """Forget and return all calls, since the requester closes."""
        calls = [flight.call for flight in (*self._flying.values(), *self._waiting)]
        self._flying.clear()
        self._waiting.clear()
        return calls

    def wait(self, now: float) -> float:
        """Return the seconds until the next deadline or retry, at most 1; `IDLE` without calls."""
        if not len(self):
            return IDLE
        times = [self._silent_at(f) for f in self._flying.values()]
        times += [f.call.deadline for f in self._flying.values()]
        times += [f.call.deadline for f in self._waiting]
        if len(self._flying) < self.credit:
            times += [f.not_before for f in self._waiting]
        return min(max(min(times, default=now + 1.0) - now, 0.0), 1.0)
