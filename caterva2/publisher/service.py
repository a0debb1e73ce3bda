"""The publisher: holds a root's lease, answers data requests, announces changes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import zmq

from caterva2.errors import StartError, VersionMismatch
from caterva2.limits import DEFAULTS, Limits
from caterva2.names import RootName
from caterva2.publisher.announcer import Announcer
from caterva2.publisher.lease import LEASE_FILE, Lease, LeaseFile, LeaseKeeper, SavedLease
from caterva2.publisher.monitoring import PublisherMonitor, Served
from caterva2.publisher.readers import RootReaders
from caterva2.publisher.requests import DataRequests
from caterva2.publisher.signatures import CatalogSignatures, OriginSignatures
from caterva2.runtime.service import new_instance
from caterva2.runtime.statedir import StateDir
from caterva2.runtime.tasks import Tasks
from caterva2.signing import keys as signing_keys
from caterva2.signing.keys import SigningKey
from caterva2.sources.base import Source
from caterva2.sources.catalog import Step
from caterva2.sources.followed import FollowedSource
from caterva2.wire import codec, messages, sockets
from caterva2.wire.auth.policy import Grant, Role
from caterva2.wire.auth.service_keys import (
    OPEN,
    Admission,
    KeyOptions,
    admission,
    link_to_broker,
    refuse_open,
)
from caterva2.wire.broker_link import BrokerLink
from caterva2.wire.responder import Peer, Responder
from caterva2.wire.sockets import Address

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublisherOptions:
    """The root, the addresses, where state is kept, who is admitted, and who may read.

    ``sign`` says whether what is sent is signed for those who ask for it.
    """

    root: RootName
    broker: Address
    endpoint: Address
    advertise: Address | None
    statedir: Path
    keys: KeyOptions = field(default_factory=KeyOptions)
    readers: RootReaders = field(default_factory=RootReaders)
    sign: bool = True

    def signing_key(self) -> SigningKey | None:
        """Return the key to sign with; made at the first start."""
        path = self.statedir / signing_keys.FILE
        return signing_keys.read_or_make(path, self.root) if self.sign else None

    def lease(self, bound: Address, ttl: float, former: SavedLease, key: str = "") -> Lease:
        """Return the lease to hold, for a data socket that is bound to an address."""
        advertise = self.advertise or bound
        endpoint = Address(advertise.host, advertise.port or bound.port).endpoint
        given = self.root, new_instance(), endpoint, ttl, former, key
        return Lease(*given, lambda: self.readers.rights)


class Publisher:
    """Serves one root.

    Parameters
    ----------
    followed : FollowedSource
        Scanned already.
    lease : Lease
    responder : Responder
        On the data socket; closed at the end.
    announcer : Announcer
    limits : Limits
    keys : Admission, optional
    readers : RootReaders, optional
    key : SigningKey, optional
        Signs what is sent to those who ask for it.
    """

    def __init__(
        self,
        followed: FollowedSource,
        lease: Lease,
        responder: Responder[messages.DataRequest],
        announcer: Announcer,
        limits: Limits,
        keys: Admission = OPEN,
        readers: RootReaders | None = None,
        key: SigningKey | None = None,
    ) -> None:
        signs = OriginSignatures(lease.root, key) if key else None
        self._signers = signs.signers if signs else ()
        self._signed = CatalogSignatures(followed, lease, signs) if signs else None
        self._readers = readers or RootReaders()
        self.lease = lease
        self._keys = keys
        self.ready = ""
        self._keeper: LeaseKeeper | None = None
        self._followed = followed
        self._responder = responder
        self._announcer = announcer
        self._warm_up_after = limits.publisher.warm_up
        # A requester that was granted a credit may have twice as many requests here, those
        # counted that it has cancelled and that still end.
        requests = max(1, min(limits.wire.credit, limits.publisher.peer_jobs // 2))
        self._credit = messages.Credit(requests=requests, bytes=limits.publisher.request_bytes)
        self._tasks = Tasks()
        self._requests = DataRequests(
            followed.source, responder, followed.hint, limits.publisher, Served(lease.root),
            self._readers.check, signs, self._signed_catalog,
        )  # fmt: skip
        self.monitor = PublisherMonitor(
            self._requests.served, followed, self._requests.outgoing,
            lambda: len(self._requests.jobs), lambda: lease.fence,
            lambda: self._keeper is not None and self._keeper.held,
        )  # fmt: skip
        responder.handle(messages.Hello, self._hello)
        responder.handle(messages.CatalogRequest, self._catalog)
        followed.listen(self._announce)

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(
        cls, options: PublisherOptions, open_source: Callable[[], Source], limits: Limits = DEFAULTS
    ) -> AsyncIterator[Self]:
        """Publish a root while the context is entered.

        Parameters
        ----------
        options : PublisherOptions
        open_source : callable
            Makes the source; called when the state directory is locked.
        limits : Limits, optional

        Raises
        ------
        StartError
            If an address can't be bound, or the state directory or the source can't be used.
        """
        if options.endpoint.is_wildcard and options.advertise is None:
            raise StartError(f"listening on {options.endpoint} needs --advertise HOST[:PORT]")
        async with contextlib.AsyncExitStack() as stack:
            statedir = stack.enter_context(StateDir(options.statedir))
            source = stack.enter_context(contextlib.closing(open_source()))
            lease_file = LeaseFile(statedir.path / LEASE_FILE, options.root, statedir.identity)
            former = lease_file.read()
            admits = functools.partial(_admits, options.root)
            keys = admission(options.keys, statedir.path, admits)
            refuse_open("data", options.endpoint, keys.links, options.keys)
            to_broker = link_to_broker(options.keys, keys.links)
            context = stack.enter_context(sockets.new_context())
            stack.enter_context(keys.handling(context))
            router = sockets.make(
                context, zmq.ROUTER, data=True, limits=limits.wire, protect=keys.links.serve("data")
            )
            bound = sockets.bind(router, options.endpoint, "data")
            followed = FollowedSource(source, limits.publisher)
            await followed.scan()
            lease = options.lease(bound, limits.broker.lease_ttl, former, keys.links.own)
            pub = functools.partial(
                sockets.make, context, zmq.PUB, limits=limits.wire, protect=to_broker
            )
            announcer = Announcer(pub, options.root)
            lost = asyncio.Event()
            link = BrokerLink(context, options.broker, lost.set, limits.wire, to_broker)
            await stack.enter_async_context(link)
            keeper = LeaseKeeper(lease, lease_file, link, lost, announcer, lambda: followed.rev)
            responder = Responder(
                router, codec.data_requests, "the publisher", authenticator=keys.at("data")
            )
            given = keys, options.readers, options.signing_key()
            made = cls(followed, lease, responder, announcer, limits, *given)
            made.ready = f"{made.summary} ready at {bound}, broker {options.broker}"
            async with made._running(keeper):
                yield made

    @contextlib.asynccontextmanager
    async def _running(self, keeper: LeaseKeeper) -> AsyncIterator[None]:
        self._keeper = keeper
        loop = asyncio.get_running_loop()

        def announce() -> None:
            loop.call_soon_threadsafe(
                lambda: self._tasks.start(keeper.renew(), "announce who may read")
            )

        self._readers.watch(self._keys.keys_of, announce)
        self._tasks.start(keeper.hold(), "lease")
        self._tasks.start(self._followed.follow(), "watch")
        self._tasks.start(self._warm_up(), "warm-up")
        self._tasks.start(self._keys.follow(self._on_keys), "follow the keys")
        try:
            yield
        finally:
            await self._tasks.stop()
            await keeper.give_back()
            await self._requests.stop()
            await self._followed.remember()
            log.info("%s", self._requests.served.summary())
            self._responder.close()

    @property
    def summary(self) -> str:
        """The root and the number of its datasets, as text."""
        count = sum(entry.kind != "group" for entry in self._followed.entries.values())
        return f"root {self.lease.root} with {count} datasets"

    @property
    def status(self) -> str:
        """The root, and whether the broker announces it, as text."""
        held = self._keeper is not None and self._keeper.held
        return f"{self.summary}, {'registered' if held else 'the broker is away'}"

    async def failed(self) -> None:
        """Wait for the first failure of a background task, and raise it."""
        await self._tasks.failed()

    async def _warm_up(self) -> None:
        """Load the modules for reading; a request that arrives earlier does it itself."""
        await asyncio.sleep(self._warm_up_after)
        await asyncio.to_thread(self._followed.source.warm_up)

    def _on_keys(self) -> None:
        """End the connections of keys that were revoked."""
        self._keys.end_revoked({"data": self._responder.connections})
        self._readers.review()

    # --- changes ---

    def _announce(self, steps: list[Step]) -> None:
        for step in steps:
            self._announcer.announce(self._change(step))

    def _change(self, step: Step) -> messages.Change:
        fields: dict[str, object] = {"path": step.path, "op": "delete"}
        if step.entry is not None:
            fields = step.entry.fields() | {"op": "put"}
        lease = self.lease
        origin = {"root": lease.root, "inst": lease.inst, "fence": lease.fence}
        return messages.Change.model_validate(origin | fields | {"rev": step.rev})

    # --- requests ---

    def _hello(self, peer: Peer, request: messages.Hello) -> None:
        if messages.VERSION not in request.versions:
            raise VersionMismatch(f"this publisher speaks version {messages.VERSION}")
        lease = self.lease
        self._responder.reply(
            peer,
            messages.PublisherHello(
                id=request.id, inst=lease.inst, fence=lease.fence, root=lease.root,
                rev=self._followed.rev, limits=self._credit, rights=self._readers.rights,
                readers=self._readers.shown_to(peer),
                all_readers=self._readers.shown_to_mirror(peer) if request.mirror else (),
                signers=self._signers,
            ),
        )  # fmt: skip

    def _catalog(self, peer: Peer, request: messages.CatalogRequest) -> None:
        if request.signed and self._signed is not None:
            self._requests.jobs.start(peer, request)
            return
        self._readers.check(request)
        self._responder.reply(peer, self._page(request))

    async def _signed_catalog(
        self, peer: Peer, request: messages.CatalogRequest, until: float
    ) -> None:
        assert self._signed is not None
        await self._signed.prepare()
        page = self._page(request).model_copy(update={"manifest": self._signed.manifest()})
        await self._requests.jobs.send(peer, page, (), until)

    def _page(self, request: messages.CatalogRequest) -> messages.Catalog:
        inst = self.lease.inst
        since = request.since_rev if request.inst == inst else -1
        return self._followed.page(
            request.id, inst, since, request.cursor, groups=request.groups
        )  # fmt: skip


def _admits(root: RootName, _domain: str, grant: Grant) -> bool:
    """Return whether the holder of rights may read a root."""
    return grant.covers(Role.READ, root)
