"""The fetch engine: pieces of a replica are fetched once, however many readers wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Generic

from caterva2.errors import CatervaError, DeadlineExceeded
from caterva2.limits.constants import DEADLINE_MAX
from caterva2.signing.checks import Checks
from caterva2.subscriber.fetch.calls import FetchCall, K
from caterva2.wire.calls import AsksFor
from caterva2.wire.messages import DataReply

log = logging.getLogger(__name__)
Connection = Callable[..., AsksFor[DataReply]]
"""Gives the connection to use now, to none of those that have been tried where these are given;
raises `RootOffline` where there is none."""
Tried = frozenset[str]
"""Names of those that failed for a piece."""
NONE_TRIED: Tried = frozenset()
Again = Callable[[AsksFor[DataReply], CatervaError, Tried], Tried | None]
"""Takes a failure; returns what has been tried if another connection is left to be."""


ChecksOf = Callable[[AsksFor[DataReply]], Checks | None]
"""Gives what checks all that arrives over a connection; None if the connection is enough."""


def unchecked(_: AsksFor[DataReply]) -> Checks | None:
    """Check nothing that arrives over any connection."""
    return None


def final(_: AsksFor[DataReply], __: CatervaError, ___: Tried) -> Tried | None:
    """Take each failure as final."""
    return None


class _Waiter(Generic[K]):
    """A reader, and the pieces that it still waits for."""

    def __init__(self, keys: set[K]) -> None:
        self.keys = keys
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Flights(Generic[K]):
    """Fetch the pieces of one replica that readers miss.

    Lives on the event loop. What is missing waits in a queue until one of a bounded number of
    calls takes it; the calls run on the requester's thread and report which pieces arrived. What
    no reader waits for any more is dropped from the queue, and its calls are cancelled.

    Parameters
    ----------
    connection : callable
    next_call : callable
        Makes the next call of a queue, from which it takes what fits into one request.
    window : int
        Calls that are under way at once.
    again : callable, optional
        Says whether what failed is repeated over another connection.
    checks_of : callable, optional
        Gives what checks all that arrives over a connection.
    """

    def __init__(
        self,
        connection: Connection,
        next_call: Callable[[Flights[K], deque[K]], FetchCall[K]],
        window: int,
        again: Again = final,
        checks_of: ChecksOf = unchecked,
    ) -> None:
        self._again = again
        self._checks_of = checks_of
        self._tried: dict[K, Tried] = {}
        self._connection = connection
        self._next_call = next_call
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._queue: deque[K] = deque()
        self._pending: set[K] = set()
        self._calls: dict[FetchCall[K], AsksFor[DataReply]] = {}
        self._waiters: list[_Waiter[K]] = []

    @property
    def idle(self) -> bool:
        return not self._waiters and not self._calls

    @property
    def calls(self) -> int:
        return len(self._calls)

    @property
    def pending(self) -> AbstractSet[K]:
        """The pieces that are queued or on their way."""
        return self._pending

    # --- on the loop ---

    async def ensure(self, missing: set[K]) -> None:
        """Wait until missing pieces are there, fetching those that are not on their way yet.

        Raises
        ------
        CatervaError
            Why one of them could not be fetched.
        """
        if not missing:
            return
        self._connection()  # raises at once where the publisher is away
        waiter = _Waiter(missing)
        self._waiters.append(waiter)
        new = sorted(missing - self._pending)
        self._pending.update(new)
        self._queue.extend(new)
        try:
            self._pump()
            async with asyncio.timeout(DEADLINE_MAX):
                await waiter.future
        except TimeoutError:
            left = len(waiter.keys)
            raise DeadlineExceeded(f"{left} chunks or blocks did not arrive in time") from None
        finally:
            self._leave(waiter)

    def _pump(self) -> None:
        """Begin calls as long as the window allows."""
        while self._queue and len(self._calls) < self._window:
            tried = self._tried.get(self._queue[0])
            try:
                requester = self._connection(tried) if tried else self._connection()
            except CatervaError as error:
                if tried:
                    self._fail([self._queue.popleft()], error)
                    continue
                self._fail_queued(error)
                return
            call = self._next_call(self, self._queue)
            self._calls[call] = requester
            call.checks = self._checks_of(requester)
            if call.is_prepared:
                requester.submit(call)
            else:
                self._prepare(call)

    def _prepare(self, call: FetchCall[K]) -> None:
        """Prepare a call in a thread, and submit it unless its readers have left meanwhile."""
        done = self._loop.run_in_executor(None, call.prepare)
        done.add_done_callback(functools.partial(self._on_prepared, call))

    def _on_prepared(self, call: FetchCall[K], done: asyncio.Future[None]) -> None:
        if done.cancelled():  # the loop ends
            return
        if (error := done.exception()) is not None:
            log.error("nothing of a former version is offered", exc_info=error)
        requester = self._calls.get(call)
        if requester is not None:
            requester.submit(call)

    def _on_arrived(self, keys: Sequence[K]) -> None:
        self._pending.difference_update(keys)
        self._forget_tried(keys)
        for waiter in self._waiters:
            waiter.keys.difference_update(keys)
            if not waiter.keys and not waiter.future.done():
                waiter.future.set_result(None)

    def _on_ended(self, call: FetchCall[K], error: CatervaError | None) -> None:
        requester = self._calls.pop(call, None)
        if error is None:
            self._on_arrived(call.keys)
        elif lost := call.keys if requester is None else self._repeat(call, requester, error):
            self._fail(lost, error)
            if isinstance(error, DeadlineExceeded):
                # What is queued has waited as long for the same link.
                self._fail_queued(error)
        self._pump()

    def _repeat(
        self, call: FetchCall[K], requester: AsksFor[DataReply], error: CatervaError
    ) -> Sequence[K]:
        """Queue what another connection may bring; return what is lost."""
        answers: dict[Tried, Tried | None] = {}
        lost: list[K] = []
        queued: list[K] = []
        for key in call.keys:
            if key not in self._pending:
                continue
            before = self._tried.get(key, NONE_TRIED)
            if before not in answers:
                answers[before] = self._again(requester, error, before)
            tried = answers[before]
            if tried is None:
                lost.append(key)
            else:
                self._tried[key] = tried
                queued.append(key)
        self._queue.extendleft(reversed(queued))
        return lost

    def _forget_tried(self, keys: Iterable[K]) -> None:
        if self._tried:
            for key in keys:
                self._tried.pop(key, None)

    def _fail_queued(self, error: CatervaError) -> None:
        queued = list(self._queue)
        self._queue.clear()
        self._fail(queued, error)

    def _fail(self, keys: Iterable[K], error: CatervaError) -> None:
        lost = set(keys)
        self._pending -= lost
        self._forget_tried(lost)
        for waiter in self._waiters:
            if not waiter.keys.isdisjoint(lost) and not waiter.future.done():
                waiter.future.set_exception(error)

    def _leave(self, waiter: _Waiter[K]) -> None:
        """Forget a waiter, and what only it was waiting for."""
        self._waiters.remove(waiter)
        if not waiter.keys:
            return
        needed: set[K] = set().union(*(other.keys for other in self._waiters))
        dropped = [key for key in self._queue if key not in needed]
        if dropped:
            self._queue = deque(key for key in self._queue if key in needed)
            self._pending.difference_update(dropped)
            self._forget_tried(dropped)
        for call, requester in list(self._calls.items()):
            if needed.isdisjoint(call.keys):
                requester.cancel(call)
                del self._calls[call]
                self._pending.difference_update(call.keys)
                self._forget_tried(call.keys)
        self._pump()

    # --- on the requester's thread ---

    def arrived(self, keys: Sequence[K]) -> None:
        """Report pieces that readers find now."""
        self._post(self._on_arrived, keys)

    def ended(self, call: FetchCall[K], error: CatervaError | None) -> None:
        """Report the end of a call, and why it failed if it did."""
        self._post(self._on_ended, call, error)

    def _post(self, method: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(method, *args)
