"""The connection to the publisher of a root, and whether that publisher is there."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator

from caterva2.errors import CatervaError, RootOffline
from caterva2.limits import DEFAULTS, WireLimits
from caterva2.limits.constants import ANSWER_BYTES, MESSAGE_BYTES
from caterva2.model import RootInfo
from caterva2.names import RootName
from caterva2.runtime.uncancellable import in_thread
from caterva2.subscriber.publishers.pool import ConnectionPool
from caterva2.subscriber.publishers.reachability import Link, Reachability
from caterva2.version import __version__
from caterva2.wire import codec, messages, sockets
from caterva2.wire.auth.curve import Protect
from caterva2.wire.calls import AsksFor
from caterva2.wire.messages import DataReply, Request
from caterva2.wire.requester import Requester

HELLO = messages.Hello(agent=f"caterva2/{__version__}")
PROBE_PAUSE = 1.0
"""Seconds after anything from a publisher within which it need not be probed."""
SOON = 0.3
"""The same where others serve the root, too."""
TRIAL_PAUSE = 10.0
"""Seconds between two probes of a publisher that nothing is read from, while no broker is there."""


class PublisherConnection:
    """Connect to the publisher of a root on demand.

    Parameters
    ----------
    name : RootName
    context : zmq.Context
    away : callable
        Makes the error that explains why the root has no publisher now.
    pool : ConnectionPool
        Bounds how many connections stay open.
    limits : WireLimits
    on_hello : callable, optional
        Called with what the publisher answers to a probe.
    title : str, optional
        What it is, as error messages name it.

    Attributes
    ----------
    where : RootInfo or None
        The publisher as the broker announced it.
    rights : str
        The name of those that are applied to what it sends.
    signed : callable
        Says whether it is asked for what the origin signed of an answer.
    """

    def __init__(
        self,
        name: RootName,
        context: sockets.Context,
        away: Callable[[RootName], RootOffline],
        pool: ConnectionPool,
        limits: WireLimits = DEFAULTS.wire,
        on_hello: Callable[[RootName, messages.PublisherHello], None] = lambda *_: None,
        title: str = "the publisher",
    ) -> None:
        self._title = f"{title} of root {name}"
        self._on_hello = on_hello
        self.where: RootInfo | None = None
        self.rights = ""
        self.signed: Callable[[messages.RootRequest], bool] = _never
        self._name = name
        self._context = context
        self._away = away
        self._pool = pool
        self._limits = limits
        self._holders = 0
        self._frame = ANSWER_BYTES
        self._requester: AsksFor[DataReply] | None = None
        self._trial: AsksFor[DataReply] | None = None
        self._tried = self._probed = -math.inf
        self._closing: list[AsksFor[DataReply]] = []
        self._reachability = Reachability()
        self._probe: asyncio.Task[None] | None = None

    @property
    def offline(self) -> bool:
        """Whether the root has no publisher, or none that can be reached."""
        return self.where is None or self._reachability.suspect

    def __call__(self) -> AsksFor[DataReply]:
        """Return the connection to use now.

        Raises
        ------
        RootOffline
        """
        if self.offline:
            raise self._away(self._name)
        return self._connected()

    def _connected(self) -> AsksFor[DataReply]:
        if self.where is None:
            raise self._away(self._name)
        if self._requester is None or self._requester.ended:
            self._requester = self._open(self.where)
        self._pool.use(self)
        return self._requester

    def _open(self, where: RootInfo) -> AsksFor[DataReply]:
        loop, failing = asyncio.get_running_loop(), self._pool.failing

        def on_failing() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(failing.set)

        if self._pool.upstream is not None and where.by_http:
            return self._pool.upstream.requester(self._name, on_failing, self._completed)
        protect = self._pool.links.call(where.curve_key)
        return Requester(
            self._context,
            where.endpoints[0],
            codec.data_replies,
            self._title,
            on_failing=on_failing,
            limits=self._limits,
            protect=functools.partial(_prepare, self._frame, protect),
            complete=self._completed,
            locate=self._pool.locate,
        )

    def _completed(self, request: Request) -> Request:
        """Return a request that names the rights that are applied to its answer, or the mirror."""
        if isinstance(request, messages.Hello):
            return request.model_copy(update={"mirror": self._pool.mirror_of(self._name)})
        if not isinstance(request, messages.RootRequest):
            return request
        return request.model_copy(update={"rights": self.rights, "signed": self.signed(request)})

    def expect(self, chunk: int) -> None:
        """Take frames with a chunk of so many bytes from now on, if need be by a new connection.

        A publisher can send nothing larger, so what it may send depends on what is read.
        """
        needed = chunk + ANSWER_BYTES // 2
        if needed > self._frame:
            self._frame = min(1 << (needed - 1).bit_length(), MESSAGE_BYTES)
            self.release()

    # --- the pool ---

    @property
    def held(self) -> bool:
        """Whether several requests are being made over one connection."""
        return self._holders > 0

    @contextlib.contextmanager
    def holding(self) -> Iterator[AsksFor[DataReply]]:
        """Return the connection, which stays open meanwhile.

        Raises
        ------
        RootOffline
        """
        self._holders += 1
        try:
            yield self()
        finally:
            self._holders -= 1

    def release(self) -> None:
        """Close the connection as soon as nothing is under way; the next use opens another."""
        if self._requester is not None:
            self._requester.drain()
            self._leave()

    # --- where it is ---

    def move(self, where: RootInfo | None) -> bool:
        """Follow the root to another publisher, or to none; return whether it is another run."""
        old, self.where = self.where, where
        if where is None or old is None or _place(where) != _place(old):
            self._leave()
            self._reachability.settle()
            return True
        if where.inst != old.inst:
            self._reachability.settle()
            return True
        return False

    def _leave(self) -> None:
        """Let the present connection be closed soon."""
        if self._requester is not None:
            self._pool.drop(self)
            self._closing.append(self._requester)
            self._requester = None
        self._end_trial()

    def _end_all(self) -> None:
        """Fail what is under way over connections that were left."""
        for requester in self._closing:
            requester.end()

    # --- whether it is there ---

    @property
    def suspect(self) -> bool:
        """Whether the publisher was announced, but does not answer."""
        return self.where is not None and self._reachability.suspect

    @property
    def failing(self) -> bool:
        """Whether the connection was lost or refused, and nothing arrived since."""
        return self._requester is not None and self._requester.failing

    @property
    def on_trial(self) -> bool:
        """Whether there is a connection that only probes the publisher."""
        return self._trial is not None

    def waits_for_trial(self, now: float) -> float | None:
        """Return when a publisher without a connection was tried last; None if it need not be."""
        pause = PROBE_PAUSE if self._reachability.suspect else TRIAL_PAUSE
        idle = self._requester is None and self._trial is None
        if self.where is None or not idle or now - self._tried < pause:
            return None
        return self._tried

    def try_out(self) -> None:
        """Open a connection beside those of the pool, for `judge` to probe the publisher."""
        if self.where is not None and self._requester is None and self._trial is None:
            self._tried = time.monotonic()
            self._trial = self._open(self.where)

    @contextlib.asynccontextmanager
    async def beside(self) -> AsyncIterator[AsksFor[DataReply]]:
        """Open a connection beside those of the pool, for as long as the context is entered.

        Raises
        ------
        RootOffline
        """
        if self.where is None:
            raise self._away(self._name)
        requester = self._open(self.where)
        try:
            yield requester
        finally:
            await in_thread(requester.close)

    def judge(self, broker_lost: bool, patience: float | None = None) -> bool:
        """Probe the publisher, and judge whether it is there; return whether that has changed.

        To be called often while the broker is not heard, or the publisher is `failing` or
        `suspect`. Of a suspect publisher the calls under way fail; probing goes on, one at a time,
        until it answers. Without a connection nothing is judged.

        Parameters
        ----------
        broker_lost : bool
            Whether the broker is away for so long that its word no longer counts.
        patience : float, optional
            See `Reachability.judge`.
        """
        requester, now = self._requester or self._trial, time.monotonic()
        if requester is None or requester.ended:
            self._leave()
            return False
        pause = PROBE_PAUSE if patience is None else SOON
        answers = requester.up and now - requester.heard < pause
        # Who may read it may have changed, which other answers do not say.
        answers &= now - self._probed < TRIAL_PAUSE
        if not answers:
            self._reachability.asked(now)  # if by a probe that was sent before the last answer
            if self._probe is None or self._probe.done():
                self._probed = now
                self._probe = asyncio.create_task(self._ask(requester))
        link = Link.UP if requester.up else Link.REFUSED if requester.refused else Link.ABSENT
        changed = self._reachability.judge(now, link, requester.heard, broker_lost, patience)
        if changed and self._reachability.suspect:
            self._leave()
            self._end_all()
        elif requester.up:
            self._end_trial()
        return changed

    async def _ask(self, requester: AsksFor[DataReply]) -> None:
        try:
            hello = await requester.ask(HELLO, self._limits.first_byte)
        except CatervaError:
            if self._reachability.suspect and requester in (self._requester, self._trial):
                requester.end()
                self._leave()  # makes room for the probes of others
            return
        current = requester in (self._requester, self._trial)
        if current and isinstance(hello, messages.PublisherHello) and hello.root == self._name:
            self._on_hello(self._name, hello)

    def _end_trial(self) -> None:
        if self._trial is not None:
            self._trial.end()
            self._closing.append(self._trial)
            self._trial = None

    async def tidy(self) -> None:
        """Close the connections that were left."""
        for requester in [one for one in self._closing if not one.draining]:
            # Those that are left are for `close`, if this is cancelled: a thread that still polls
            # its socket while the context closes it never ends.
            await in_thread(requester.close)
            if requester in self._closing:
                self._closing.remove(requester)

    async def close(self) -> None:
        """Close all connections."""
        self.move(None)
        self._end_all()
        await self.tidy()
        if self._probe is not None:
            await self._probe


def _never(_request: messages.RootRequest) -> bool:
    """Ask for nothing that is signed."""
    return False


def _prepare(frame: int, protect: Protect, socket: sockets.Socket) -> None:
    """Have a socket take frames of so many bytes, and have it protected."""
    socket.maxmsgsize = frame
    protect(socket)


def _place(where: RootInfo) -> tuple[object, ...]:
    """Return what a connection to a publisher depends on."""
    return where.endpoints, where.curve_key
