"""The link to an upstream: its roots, and its events, on the thread of a session."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable

from caterva2.errors import BadMessage, CatervaError, RootOffline
from caterva2.limits import DEFAULTS, Limits
from caterva2.names import RootName
from caterva2.rest import media, paths
from caterva2.runtime.tasks import first_of
from caterva2.subscriber.upstream.events import EventLines, Seen
from caterva2.subscriber.upstream.replies import replies
from caterva2.subscriber.upstream.session import Lost, Refused, Session, exchange_path
from caterva2.version import __version__
from caterva2.wire import codec, messages
from caterva2.wire.messages import PublisherHello

log = logging.getLogger(__name__)
SILENCE_S = 45.0
"""Seconds without a byte of the stream of events: a heartbeat comes every 15."""
REFRESH_S = 10.0
"""Seconds between two looks at all roots, beside those that events cause."""
GATHER_S = 0.05
"""Seconds in which events are gathered, since many come at once."""
FEW = 8
"""Roots up to which each is asked for; of more all are looked at."""
PAUSES_S = 0.25, 10.0
"""First and longest pause between two tries to reach the upstream."""
_HELLO = bytes(codec.encode(messages.Hello(agent=f"caterva2/{__version__}"))[1])


class UpstreamLink:
    """Follow what roots an upstream has; all callbacks are called on the session's thread.

    Parameters
    ----------
    session : Session
    on_roots : callable
        Called with the hellos of all roots, by their names.
    on_hello : callable
        Called with the hello of a root that changed.
    on_lost : callable
        Called with the reason when the upstream is not reached.
    limits : Limits
    """

    def __init__(
        self,
        session: Session,
        on_roots: Callable[[dict[RootName, PublisherHello]], object],
        on_hello: Callable[[PublisherHello], object],
        on_lost: Callable[[str], object],
        limits: Limits = DEFAULTS,
    ) -> None:
        self._session = session
        self._on_roots = on_roots
        self._on_hello = on_hello
        self._on_lost = on_lost
        self._limits = limits
        self._reached = False
        self._known: frozenset[RootName] = frozenset()
        self._stale: set[RootName] = set()
        self._all_stale = False
        self._wake = asyncio.Event()

    async def follow(self) -> None:
        """Follow the upstream, and connect again where it is lost, until cancelled.

        A connection that ends says little, since proxies end them: only if no other can be made the
        upstream is lost.
        """
        least, most = PAUSES_S
        pause = least
        while True:
            self._reached = False
            try:
                await self._connected()
            except CatervaError as error:
                if isinstance(error, Refused):
                    await self._session.read_token()
                if not self._reached:
                    self._on_lost(error.detail)
            pause = least if self._reached else min(2 * pause, most)
            await asyncio.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311 - jitter

    async def _connected(self) -> None:
        """Follow the upstream until the stream of its events ends."""
        stream = self._session.answer("GET", paths.relative(paths.EVENTS), media.EVENTS, SILENCE_S)
        async with stream as pieces:
            self._stale.clear()
            await self._look()
            await first_of(self._listen(pieces), self._refresh())

    # --- events ---

    async def _listen(self, pieces: AsyncIterator[bytes]) -> None:
        lines = EventLines()
        async for piece in pieces:
            for seen in lines.feed(piece):
                self._note(seen)

    def _note(self, seen: Seen) -> None:
        if seen.name == "change" and seen.root in self._known:
            self._stale.add(seen.root)
        elif not seen.root.is_special:
            self._all_stale = True
        else:
            return
        self._wake.set()

    async def _refresh(self) -> None:
        while True:
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._wake.wait()
                await asyncio.sleep(GATHER_S)
            except TimeoutError:
                self._all_stale = True
            self._wake.clear()
            stale, self._stale = self._stale, set()
            if self._all_stale or len(stale) > FEW:
                await self._look()
                continue
            for root in stale:
                await self._look_at(root)

    # --- requests ---

    async def _look(self) -> None:
        """Ask for all roots."""
        self._all_stale = False
        found = await self._timed(self._hellos("GET", paths.relative(paths.EXCHANGES), None))
        self._known, self._reached = frozenset(found), True
        self._on_roots(found)

    async def _look_at(self, root: RootName) -> None:
        """Ask for one root."""
        try:
            found = await self._timed(self._hellos("POST", exchange_path(root), _HELLO))
        except Lost:
            raise
        except RootOffline:  # it is gone, or hidden
            found = {}
        if root in found:
            self._on_hello(found[root])
        else:
            self._all_stale = True
            self._wake.set()

    async def _timed(
        self, work: Awaitable[dict[RootName, PublisherHello]]
    ) -> dict[RootName, PublisherHello]:
        try:
            async with asyncio.timeout(self._limits.wire.request_deadline):
                return await work
        except TimeoutError:
            raise Lost(f"the upstream {self._session.url} does not say in time") from None

    async def _hellos(
        self, method: str, path: str, body: bytes | None
    ) -> dict[RootName, PublisherHello]:
        most = self._limits.subscriber.upstream_roots
        patience = self._limits.wire.first_byte
        found: dict[RootName, PublisherHello] = {}
        answer = self._session.answer(method, path, media.MESSAGES, patience, body)
        async with answer as pieces, contextlib.aclosing(replies(pieces, lambda: 0)) as hellos:
            async for hello, _ in hellos:
                if isinstance(hello, messages.Error):
                    raise codec.to_exception(hello)
                if not isinstance(hello, PublisherHello):
                    raise BadMessage(f"the upstream answered {hello.type} to hello")
                if len(found) >= most:
                    raise BadMessage(f"the upstream has more roots than UPSTREAM_ROOTS, {most}")
                if not hello.root.is_special:
                    found[hello.root] = hello
        return found
