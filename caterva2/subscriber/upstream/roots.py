"""The roots of an upstream, announced as those of a broker are."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable

from caterva2.limits import DEFAULTS, Limits
from caterva2.model import Origin, RootInfo
from caterva2.names import RootName
from caterva2.subscriber.upstream.link import UpstreamLink
from caterva2.subscriber.upstream.requester import HttpRequester
from caterva2.subscriber.upstream.session import Session
from caterva2.subscriber.upstream.shown import Shown
from caterva2.wire import messages
from caterva2.wire.messages import PublisherHello, Request

log = logging.getLogger(__name__)
UNNAMED = "upstream"
"""Name of an upstream that does not say its own: it is a mirror, whatever it leaves out."""


class UpstreamRoots:
    """What an upstream has, as an `AnnouncementListener` says it of a broker.

    A root of which the catalog has another revision there is announced by a beat, so that it is
    brought in step. All methods are for the event loop on which it was made.

    Parameters
    ----------
    session : Session
    on_moved, on_note : callable
        As of an `AnnouncementListener`.
    on_lost : callable
        Called with the reason when the upstream is not reached any more.
    limits : Limits
    name_of : callable, optional
        Gives the name of this subscriber as a source of a root: what comes by it is not taken.

    Attributes
    ----------
    roots : dict
        The roots that are there, by their names; none while the upstream is not reached.
    known, connected : bool
    """

    quiet = False

    def __init__(
        self,
        session: Session,
        on_moved: Callable[[set[RootName]], None],
        on_note: Callable[[messages.RootNote], None],
        on_lost: Callable[[str], None] = lambda _: None,
        limits: Limits = DEFAULTS,
        name_of: Callable[[RootName], str] = str,
    ) -> None:
        self._name_of = name_of
        self._origins: dict[RootName, Origin | None] = {}
        self._looping: set[RootName] = set()
        self.roots: dict[RootName, RootInfo] = {}
        self.known = self.connected = False
        self._session = session
        self._shown = Shown(session.options.readers)
        self._on_moved = on_moved
        self._on_note = on_note
        self._on_lost = on_lost
        self._limits = limits
        self._heard: float | None = None
        self._topics: set[RootName] = set()
        self._loop = asyncio.get_running_loop()
        self._link = UpstreamLink(
            session, self._posted(self._take), self._posted(self._see), self._posted(self._lose),
            limits,
        )  # fmt: skip

    def _posted(self, function: Callable[..., None]) -> Callable[..., object]:
        """Return a function that has another one called on the loop."""
        return functools.partial(self._loop.call_soon_threadsafe, function)

    @property
    def silent_for(self) -> float | None:
        """Seconds since the upstream was heard; None before that."""
        return None if self._heard is None else time.monotonic() - self._heard

    def hears(self, _: RootName) -> bool:
        """Return whether the upstream is reached now."""
        return self.connected

    def judged(self, name: RootName, *, offline: bool) -> None:
        """Do nothing: the link to the upstream says whether its roots are there."""

    def listen(self, name: RootName) -> None:
        """Receive the notes about a root from here on."""
        self._topics.add(name)

    def ignore(self, name: RootName) -> None:
        """Receive no more notes about a root."""
        self._topics.discard(name)

    def origin(self, name: RootName) -> Origin | None:
        """Return where the data of a root is from; None if it does not come from here."""
        return self._origins.get(name)

    def requester(
        self, name: RootName, on_failing: Callable[[], None], complete: Callable[[Request], Request]
    ) -> HttpRequester:
        """Return what asks for one root."""
        return HttpRequester(
            self._session, name, self._shown, on_failing, self._limits.wire, complete
        )

    async def follow(self) -> None:
        """Follow the upstream until cancelled."""
        await self._session.run(self._link.follow())

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._session.close)

    # --- what the link says ---

    def _take(self, found: dict[RootName, PublisherHello]) -> None:
        if not self.connected:
            log.info("the upstream %s has %d roots", self._session.url, len(found))
        self.known = self.connected = True
        self._heard = time.monotonic()
        self._shown.keep(found.keys())
        self._looping &= found.keys()
        found = {name: hello for name, hello in found.items() if not self._comes_back(hello)}
        for name in self.roots.keys() - found.keys():
            del self.roots[name]
            self._origins.pop(name, None)
            self._on_moved({name})
        for hello in found.values():
            self._see(hello)

    def _comes_back(self, hello: PublisherHello) -> bool:
        """Return whether the data of a root comes by this subscriber, so that it is a ring."""
        path = hello.origin.path if hello.origin else ()
        ring = self._name_of(hello.root) in path
        if ring and hello.root not in self._looping:
            way = " > ".join(path)
            log.warning("root %s is not taken, as it would come back here: %s", hello.root, way)
        (self._looping.add if ring else self._looping.discard)(hello.root)
        return ring

    def _see(self, said: PublisherHello) -> None:
        hello = self._shown.of(said)
        if self._comes_back(said):
            return
        name, self._heard = hello.root, time.monotonic()
        turned = _is_away(self._origins.get(name)) != _is_away(hello.origin)
        self._origins[name] = hello.origin
        path = hello.origin.path if hello.origin else ()
        info = RootInfo.model_construct(
            root=name, inst=hello.inst, fence=hello.fence, endpoints=(self._session.url,),
            rights=hello.rights, mirror=path[-1] if path else UNNAMED,
        )  # fmt: skip
        if self.roots.get(name) != info:
            self.roots[name] = info
            self._on_moved({name})
        if name in self._topics:
            # After a beat of a revision that is not there yet the upstream is greeted, and says
            # that its origin is away, or back.
            rev = hello.rev + turned
            self._on_note(messages.RootBeat(root=name, inst=info.inst, fence=info.fence, rev=rev))

    def _lose(self, reason: str) -> None:
        self.connected = False
        self._on_lost(reason)
        gone, self.roots = set(self.roots), {}
        self._origins.clear()
        if gone:
            self._on_moved(gone)


def _is_away(origin: Origin | None) -> bool:
    return origin is not None and origin.away
