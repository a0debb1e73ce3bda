"""A mirror of one root: its data socket, and what it says of itself."""

from __future__ import annotations

import logging
from collections.abc import Callable

from caterva2.errors import CatervaError, Loop, RootOffline, VersionMismatch
from caterva2.limits import DEFAULTS, Limits
from caterva2.mirror.answers import RootAnswers
from caterva2.mirror.options import Patterns
from caterva2.mirror.provenance import Provenance, refuse_loop
from caterva2.mirror.readers import MirroredReaders
from caterva2.mirror.requests import MirrorRequests
from caterva2.model import MirrorInfo, Origin
from caterva2.publisher.monitoring import Served
from caterva2.runtime.lru import Lru
from caterva2.subscriber.remote_root import RemoteRoot
from caterva2.subscriber.service import Subscriber
from caterva2.wire import messages
from caterva2.wire.auth.connections import Connections
from caterva2.wire.responder import Peer, Responder
from caterva2.wire.sockets import Address

log = logging.getLogger(__name__)
REFUSED = 1000
"""Connections of other mirrors that are known to have been refused."""


class MirroredRoot:
    """Serves a root that a subscriber follows.

    Parameters
    ----------
    subscriber : Subscriber
    root : RemoteRoot
    responder : Responder
        On the data socket; closed at the end.
    reached : Address
        Where readers reach that.
    provenance : Provenance
    publish : Patterns
        What is served of it.
    limits : Limits

    Attributes
    ----------
    fence : callable
        Gives the fence of the lease that readers know.
    complete : bool
        Whether all of the root is in the cache.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        root: RemoteRoot,
        responder: Responder[messages.DataRequest],
        reached: Address,
        provenance: Provenance,
        publish: Patterns,
        limits: Limits = DEFAULTS,
    ) -> None:
        self.root = root
        self.reached = reached
        self.complete = False
        self.fence: Callable[[], int] = self._announced_fence
        self._looped = False
        self._unready = ""
        self._refused: Lru[Peer, Loop] = Lru(REFUSED)
        self._provenance = provenance
        self._responder = responder
        self._rights = subscriber.rights
        self.readers = MirroredReaders(self._in_force)
        self._credit = messages.Credit(
            requests=max(1, min(limits.wire.credit, limits.publisher.peer_jobs // 2)),
            bytes=limits.publisher.request_bytes,
        )
        self.requests = MirrorRequests(
            RootAnswers(subscriber, root, limits), responder, self._check,
            lambda path: publish.name(root.name, path), limits, Served(root.name),
        )  # fmt: skip
        responder.handle(messages.Hello, self._hello)

    def _announced_fence(self) -> int:
        return self.root.where.fence if self.root.where else 0

    def _in_force(self, rights: str) -> bool:
        """Return whether rights are those that are announced, and that the subscriber applies.

        The latter outlive a crash: it may have happened before what is known here was saved.
        """
        where = self.root.where
        announced = where is None or where.rights == rights
        return announced and self._rights.knows(self.root.name, rights)

    def review(self) -> None:
        """Learn what the origin said last."""
        saved = self._provenance.of(self.root)
        if saved is not None and (saved.readers or not saved.rights):
            self.readers.learn(saved.rights, saved.readers)
        elif saved is not None:
            self.readers.forget()
        if (why := self.unready) != self._unready:
            self._unready = why
            if why:
                log.warning("root %s is not served again now: %s", self.root.name, why)

    @property
    def rights(self) -> str:
        """The name of who may read it, as it is announced: the mirror may not know who that is."""
        where = self.root.where
        return self.readers.rights if where is None else where.rights

    @property
    def away(self) -> bool:
        """Whether the origin can't be reached, or has another run than what is known of it here."""
        saved = self._provenance.of(self.root)
        away = self._looped or self.root.offline or not self.root.catalog.of_this_run
        return away or (saved is not None and saved.origin.away)

    async def greet(self) -> None:
        """Ask a source that is a mirror itself, which sends no notes about that, how it is."""
        providers = self.root.providers
        if providers.current is None or not providers.is_mirror(providers.current):
            self._looped = False
            return
        try:
            await self.root.catalog.keep_up(catalog=False)
            self._looped = False
        except Loop as error:
            if not self._looped:
                log.warning("%s", error)
            self._looped = True
        except CatervaError as error:
            log.debug("the source of %s does not answer: %s", self.root.name, error)

    def _check(self, peer: Peer, request: messages.RootRequest) -> None:
        if (refused := self._refused.get(peer)) is not None:
            raise Loop(str(refused))
        self.readers.check(request)

    @property
    def unready(self) -> str:
        """Why it can't be announced now; empty if it can."""
        if self._provenance.of(self.root) is None:
            return "its catalog is not known"
        return self.readers.hidden

    def described(self, key: str) -> MirrorInfo:
        """Return what is announced of it."""
        saved = self._provenance.of(self.root)
        return MirrorInfo(
            mirror=self._provenance.name, endpoint=self.reached.endpoint, curve_key=key,
            path=saved.origin.path[:-1] if saved else (), complete=self.complete,
            load=self.requests.load,
        )  # fmt: skip

    @property
    def connections(self) -> Connections:
        """Those of readers."""
        return self._responder.connections

    async def close(self) -> None:
        """Cancel all requests, and close the socket."""
        await self.requests.stop()
        self._responder.close()

    def _refuse_loop(self, peer: Peer, origin: Origin, mirror: str) -> None:
        """Refuse a mirror that data would come back to, and what it asks for after that."""
        self._refused.pop(peer)
        try:
            refuse_loop(origin, mirror, self.root.name)
        except Loop as error:
            self._refused.put(peer, error)
            raise

    def _hello(self, peer: Peer, request: messages.Hello) -> None:
        if messages.VERSION not in request.versions:
            raise VersionMismatch(f"this mirror speaks version {messages.VERSION}")
        self.review()
        saved = self._provenance.of(self.root)
        if saved is None or self.readers.hidden:
            raise RootOffline(f"this mirror does not know root {self.root.name} yet", after_ms=500)
        self._provenance.refuse_loop(self.root)
        if request.mirror:
            self._refuse_loop(peer, saved.origin, request.mirror)
        saved = saved.model_copy(
            update={"origin": saved.origin.model_copy(update={"away": self.away})}
        )
        origin, readers = saved.origin, self.readers
        self._responder.reply(
            peer,
            messages.PublisherHello(
                id=request.id, inst=origin.inst, fence=self.fence(), root=self.root.name,
                rev=origin.rev, limits=self._credit, rights=readers.rights,
                readers=readers.shown_to(peer), origin=origin,
                all_readers=readers.shown_to_mirror(peer) if request.mirror else (),
                signers=self.root.trust.shown,
            ),
        )  # fmt: skip
