"""The mirrors of a subscriber: a socket for each root that it serves again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import zmq

from caterva2.errors import CatervaError, ConfigError, StartError
from caterva2.limits import DEFAULTS, Limits
from caterva2.mirror.filling import Filling
from caterva2.mirror.looking import look
from caterva2.mirror.options import MirrorOptions
from caterva2.mirror.provenance import Provenance
from caterva2.mirror.registration import BesideOrigin, MirrorLease, Registration, Site
from caterva2.mirror.renewals import Renewals
from caterva2.mirror.root import MirroredRoot
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.lease import LeaseFile
from caterva2.runtime.metrics import Counter, Gauge, Metrics
from caterva2.runtime.tasks import Tasks, until_tick
from caterva2.runtime.uncancellable import in_thread
from caterva2.subscriber.options import SubscriberOptions
from caterva2.subscriber.service import Subscriber
from caterva2.wire import codec, sockets
from caterva2.wire.auth.policy import Grant, Role
from caterva2.wire.auth.service_keys import Admission, admission, link_to_broker, refuse_open
from caterva2.wire.broker_link import BrokerLink
from caterva2.wire.responder import Responder
from caterva2.wire.sockets import Address

log = logging.getLogger(__name__)
ROOTS = Gauge("caterva2_mirror_roots", "Roots that are served again")
AWAY = Gauge("caterva2_mirror_roots_away", "Those of them whose origin can't be reached")
JOBS = Gauge("caterva2_mirror_jobs", "Requests to mirrors that are worked on")
REQUESTS = Counter("caterva2_mirror_requests_total", "Requests to mirrors")
BYTES = Counter("caterva2_mirror_bytes_total", "Bytes of what mirrors sent")
GREET = 2.0
"""Seconds between two questions to sources that are mirrors themselves."""
SAVE = 60.0
"""Seconds between two writes of where they are from, which also has the time; what else changes is
written with the next look at it, after `GREET`."""
PORTS = 1000
"""Consecutive ports that sockets of roots may get."""
LEASES = "mirrored"
"""Directory of leases at another site."""


class Mirrors:
    """Serves roots of a subscriber again, as soon as they are known.

    Parameters
    ----------
    subscriber : Subscriber
    options : MirrorOptions
    of : SubscriberOptions
    provenance : Provenance
    place : str
        Identity of the state directory.
    context : zmq.Context
    keys : Admission
    limits : Limits
    """

    def __init__(
        self,
        subscriber: Subscriber,
        options: MirrorOptions,
        of: SubscriberOptions,
        provenance: Provenance,
        place: str,
        context: sockets.Context,
        keys: Admission,
        limits: Limits,
    ) -> None:
        self.roots: dict[RootName, MirroredRoot] = {}
        self._registered: list[Registration] = []
        self._subscriber = subscriber
        self._options = options
        self._of = of
        self._provenance = provenance
        self._place = place
        self._context = context
        self._keys = keys
        self._limits = limits
        self._tasks = Tasks()
        self._failed: dict[RootName, str] = {}
        self._opening: set[RootName] = set()
        self._link: BrokerLink | None = None
        self._renewals: Renewals | None = None
        self._site: Site | None = None
        self._filling = Filling(subscriber, options, self.roots)

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(
        cls,
        subscriber: Subscriber,
        options: MirrorOptions,
        of: SubscriberOptions,
        limits: Limits = DEFAULTS,
    ) -> AsyncIterator[Self]:
        """Serve while the context is entered; ``of`` are the options of the subscriber.

        Raises
        ------
        StartError, ConfigError
            If the socket would be open to everybody, or a file can't be used.
        """
        if options.endpoint.is_wildcard and options.advertise is None:
            raise ConfigError(f"listening on {options.endpoint} needs publish_advertise")
        if options.to is not None and options.to == of.broker:
            raise ConfigError("publish_to is the subscriber's own broker: leave it out")
        if options.to is None and of.broker is None:
            raise ConfigError("publish needs a broker: the subscriber's own, or publish_to")
        keys = admission(options.keys, of.statedir, _admits)
        refuse_open("mirror", options.endpoint, keys.links, options.keys)
        place = _place(of.statedir)
        provenance = await asyncio.to_thread(Provenance, of.statedir, place)
        with sockets.new_context() as context, keys.handling(context):
            made = cls(subscriber, options, of, provenance, place, context, keys, limits)
            try:
                made._begin()
                yield made
            finally:
                await made._end()

    def _begin(self) -> None:
        name, publish = self._provenance.name, self._options.publish
        self._subscriber.connections.mirror_of = lambda r: name if publish.cover(r) else ""
        self._subscriber.connections.mirrors_beside = self._options.to is None
        if self._options.to is not None:
            protect = link_to_broker(self._options.to_keys, self._keys.links)
            self._site = Site(self._options.to, self._context, protect, self._limits)
            self._link = self._site.link
        elif self._of.broker is not None:
            protect = link_to_broker(self._of.keys, self._keys.links)
            self._link = BrokerLink(
                self._context, self._of.broker, lambda: None, self._limits.wire, protect
            )
            self._renewals = Renewals(self._link)
        self._tasks.start(self._look(), "look for roots to serve again")
        self._tasks.start(self._keys.follow(self._on_keys), "follow the keys of the mirror")
        self._tasks.start(self._filling.run(), "fetch ahead for mirrors")
        self._tasks.start(self._filling.protect(), "keep what must not be evicted")
        self._tasks.start(self._greet(), "greet the sources of mirrors")
        self._tasks.start(self._save(), "save where mirrored roots are from")

    async def _end(self) -> None:
        await self._tasks.stop()
        self._subscriber.connections.mirror_of = lambda _: ""
        await asyncio.gather(*(one.end() for one in self._registered))
        for mirror in self.roots.values():
            mirror.root.catalog.on_step = lambda _: None
            await mirror.close()
        if self._link is not None:
            await asyncio.to_thread(self._link.close)
        await self._written()

    async def failed(self) -> None:
        """Wait for the first failure of a background task, and raise it."""
        await self._tasks.failed()

    def report(self, metrics: Metrics) -> None:
        """Report what is measured when it is asked for."""
        mirrors = list(self.roots.values())
        served = [one.requests.jobs.served for one in mirrors]
        metrics.set(ROOTS, len(mirrors))
        metrics.set(AWAY, sum(one.away for one in mirrors))
        metrics.set(JOBS, sum(len(one.requests.jobs) for one in mirrors))
        metrics.inc(REQUESTS, sum(one.requests for one in served))
        metrics.inc(BYTES, sum(one.bytes for one in served))

    def _on_keys(self) -> None:
        for mirror in self.roots.values():
            self._keys.end_revoked({_domain(mirror.root.name): mirror.connections})

    async def _greet(self) -> None:
        while True:
            await asyncio.sleep(until_tick(GREET))
            for mirror in list(self.roots.values()):
                await mirror.greet()

    async def _save(self) -> None:
        due = 0.0
        while True:
            await asyncio.sleep(until_tick(GREET))
            now = time.monotonic()
            if self._provenance.urgent or now >= due:
                await self._written()
                due = now + SAVE

    async def _written(self) -> None:
        try:
            await in_thread(self._provenance.write)
        except OSError as error:
            log.error("where mirrored roots are from can't be written: %s", error)

    # --- roots ---

    async def _look(self) -> None:
        while True:
            for status in self._subscriber.roots():
                name, known = status.name, self.roots.keys() | self._opening
                if name not in known and self._options.publish.cover(name):
                    self._opening.add(name)
                    self._tasks.start(self._try(name), f"serve root {name} again")
            await look()

    async def _try(self, name: RootName) -> None:
        try:
            await self._open(name)
            self._failed.pop(name, None)
        except CatervaError as error:
            if self._failed.get(name) != str(error):
                log.warning("root %s is not served again yet: %s", name, error)
            self._failed[name] = str(error)
        finally:
            self._opening.discard(name)

    async def _open(self, name: RootName) -> None:
        root = await self._subscriber.followed(name)
        self._provenance.refuse_loop(root)
        router = sockets.make(
            self._context, zmq.ROUTER, data=True, limits=self._limits.wire,
            protect=self._keys.links.serve(_domain(name)),
        )  # fmt: skip
        try:
            bound = self._bind(router)
        except StartError:
            router.close()
            raise
        responder = Responder(
            router, codec.data_requests, "the mirror", authenticator=self._keys.at(_domain(name))
        )
        at = self._options.advertise or bound
        reached = Address(at.host, bound.port)
        mirror = MirroredRoot(
            self._subscriber, root, responder, reached, self._provenance, self._options.publish,
            self._limits,
        )  # fmt: skip
        try:
            registration = await self._registration(mirror)
        except BaseException:
            await mirror.close()
            raise
        self.roots[name] = mirror
        self._registered.append(registration)

        def step(paths: set[DatasetPath]) -> None:
            registration.step(paths)
            self._filling.step(name, paths)

        root.catalog.on_step = step
        self._filling.begin(name)
        self._tasks.start(registration.run(), f"register the mirror of {name}")
        log.info("root %s is served again at %s", name, reached)

    def _bind(self, router: sockets.Socket) -> Address:
        """Bind a socket to the first port that is free."""
        first = self._options.endpoint
        for port in range(first.port, first.port + (PORTS if first.port else 1)):
            try:
                return sockets.bind(router, Address(first.host, port), "mirror")
            except StartError:
                if port == first.port + PORTS - 1 or not first.port:
                    raise
        raise StartError(f"mirror: no port from {first} on is free")

    async def _registration(self, mirror: MirroredRoot) -> Registration:
        ttl, key = self._limits.broker.lease_ttl, self._keys.links.own
        if self._site is None:
            assert self._link is not None and self._renewals is not None
            return BesideOrigin(mirror, self._link, self._renewals, key, ttl)
        directory = self._of.statedir / LEASES
        directory.mkdir(exist_ok=True)
        name = mirror.root.name
        file = LeaseFile(directory / f"{name}.json", name, self._place)
        former = await asyncio.to_thread(file.read)
        lease = MirrorLease(
            name, mirror.root.catalog.inst, mirror.reached.endpoint, ttl, former, key,
            lambda: mirror.rights,
        )  # fmt: skip
        lease.mirror = self._provenance.name
        return self._site.publishes(mirror, lease, file)


def _place(statedir: Path) -> str:
    """Return what tells a locked state directory from a copy of it."""
    status = os.stat(statedir / "lock")
    return f"{status.st_ino} {status.st_ctime_ns}"


def _domain(root: RootName) -> str:
    return f"data/{root}"


def _admits(domain: str, grant: Grant) -> bool:
    """Return whether the holder of rights may read the root of a socket."""
    return grant.covers(Role.READ, domain.partition("/")[2])
