"""How mirrors become known: beside the publisher at its broker, or as publisher at another site."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import Protocol

import zmq

from caterva2.errors import CatervaError
from caterva2.limits import DEFAULTS, Limits
from caterva2.limits.constants import FENCE
from caterva2.mirror.looking import look
from caterva2.mirror.renewals import Renewals
from caterva2.mirror.root import MirroredRoot
from caterva2.model import Entry
from caterva2.model.roots import LONGEST_TTL_MS
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.announcer import Announcer
from caterva2.publisher.lease import Lease, LeaseFile, LeaseKeeper
from caterva2.runtime.tasks import until_tick
from caterva2.wire import messages, sockets
from caterva2.wire.auth.curve import OneOfKeys
from caterva2.wire.broker_link import BrokerLink

log = logging.getLogger(__name__)
LOAD_WEIGHT = 0.1
"""Weight of the load at a look: what is announced is not that of a moment."""
RETRY = 5.0
"""Seconds until a broker that refused a mirror is asked again."""
JOINED = 2 * RETRY
"""Seconds by which the announcement beside another mirror outlives a lease: it is renewed with each
refusal of the lease itself."""


class Registration(Protocol):
    """What makes a mirror known while it runs."""

    async def run(self) -> None:
        """Register, and go on until cancelled."""

    async def end(self) -> None:
        """Give up what was registered."""

    def step(self, paths: set[DatasetPath]) -> None:
        """Pass on that datasets changed."""


class BesideOrigin:
    """Announces a mirror at the broker that announces its origin, whose notes reach all readers.

    Parameters
    ----------
    mirror : MirroredRoot
    link : BrokerLink
    renewals : Renewals
        Those by this link.
    key : str
        Its public key.
    ttl : float
        Seconds until the broker forgets it.
    """

    def __init__(
        self, mirror: MirroredRoot, link: BrokerLink, renewals: Renewals, key: str, ttl: float
    ) -> None:
        self._mirror = mirror
        self._link = link
        self._renewals = renewals
        self._key = key
        self._ttl = ttl
        self._sent: messages.Mirror | None = None
        self._load = 0.0

    async def run(self) -> None:
        """Announce the mirror whenever something changed, and before its lease ends."""
        loop = asyncio.get_running_loop()
        due, refused = 0.0, ""
        while True:
            wanted = self._wanted()
            if wanted is None:
                await self.end()
            elif wanted != self._sent or loop.time() >= due:
                try:
                    await self._announce(wanted)
                    self._sent, refused = wanted, ""
                    due = loop.time() + until_tick(self._ttl / 3)
                except CatervaError as error:
                    if str(error) != refused:
                        log.warning("the mirror of %s is not announced: %s", wanted.root, error)
                    self._sent, refused = None, str(error)
                    await asyncio.sleep(min(RETRY, self._ttl / 3))
            await look()

    async def _announce(self, wanted: messages.Mirror) -> None:
        if wanted != self._sent or not await self._renewals.renew(wanted):
            await self._link.mirror(wanted)

    def _wanted(self) -> messages.Mirror | None:
        self._mirror.review()
        where, root = self._mirror.root.where, self._mirror.root
        if self._mirror.unready or where is None or where.inst != root.catalog.inst:
            return None
        info = self._mirror.described(self._key)
        self._load += LOAD_WEIGHT * (info.load - self._load)
        info = info.model_copy(update={"load": round(self._load)})
        return messages.Mirror(
            **dict(info), root=root.name, inst=where.inst, fence=where.fence,
            ttl_ms=int(self._ttl * 1000),
        )  # fmt: skip

    async def end(self) -> None:
        """End the lease, if there is one."""
        if self._sent is None:
            return
        root, name, self._sent = self._sent.root, self._sent.mirror, None
        await _withdraw(self._link, root, name)

    def step(self, paths: set[DatasetPath]) -> None:
        """Do nothing: the origin's notes reach the readers."""


async def _withdraw(link: BrokerLink, root: RootName, mirror: str) -> None:
    with contextlib.suppress(CatervaError):
        await link.unmirror(messages.Unmirror(root=root, mirror=mirror))


class MirrorLease(Lease):
    """A lease at another site, under the origin's run."""

    mirror = ""

    def registration(self) -> messages.Register:
        """Return the request that obtains or renews the lease, from an earlier run too."""
        request = super().registration()
        return request.model_copy(update={"mirror": self.mirror, "takeover": True})


class AtAnotherSite:
    """Publishes a root at another site's broker, or stands by beside a mirror that does so.

    Parameters
    ----------
    mirror : MirroredRoot
    lease : MirrorLease
    file : LeaseFile
    link : BrokerLink
    lost : asyncio.Event
        Set when the connection to the broker is lost.
    announcer : Announcer
    """

    def __init__(
        self,
        mirror: MirroredRoot,
        lease: MirrorLease,
        file: LeaseFile,
        link: BrokerLink,
        lost: asyncio.Event,
        announcer: Announcer,
    ) -> None:
        self._mirror = mirror
        self._lease = lease
        self._link = link
        self._announcer = announcer
        self._rev = -1
        self._joined = 0
        self._keeper = LeaseKeeper(lease, file, link, lost, announcer, self._revision)
        mirror.fence = self._fence

    def _fence(self) -> int:
        """Return the fence that readers know: that of another mirror while it has the lease."""
        return self._lease.fence if self._keeper.held else self._joined or self._lease.fence

    def _revision(self) -> int:
        return max(0, self._mirror.root.catalog.revision)

    async def run(self) -> None:
        """Hold the lease while the root can be served."""
        refused = ""
        while True:
            self._mirror.review()
            if not self._mirror.unready:
                self._lease.inst = self._mirror.root.catalog.inst
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._keeper.hold())
                        tasks.create_task(self._follow())
                except* CatervaError as errors:
                    error = await self._join(errors.exceptions[0])
                    if error is not None and str(error) != refused:
                        log.warning("%s is not published: %s", self._lease.root, error)
                    refused = str(error or "")
                    await asyncio.sleep(RETRY)
            await look()

    async def _join(self, refused: BaseException) -> BaseException | None:
        """Announce the mirror beside another one that has the lease; return why it is not.

        When that has ended, readers go on here at once, and this one gets the lease.
        """
        said, lease, known = getattr(refused, "info", {}), self._lease, self._joined
        inst, fence = said.get("inst"), said.get("fence")
        if inst != lease.inst or not isinstance(fence, int) or not 0 <= fence < FENCE:
            return refused
        request, self._joined = lease.registration(), fence
        info = self._mirror.described(request.curve_key)
        try:
            await self._link.mirror(
                messages.Mirror(
                    **dict(info), root=lease.root, inst=inst, fence=fence,
                    ttl_ms=min(request.ttl_ms + int(JOINED * 1000), LONGEST_TTL_MS),
                )
            )  # fmt: skip
        except CatervaError as error:
            return error
        if fence != known:
            log.info("%s is published by another mirror, and announced beside it", lease.root)
        return None

    async def _follow(self) -> None:
        """Register anew when the origin is another run, or has other readers."""
        known = self._lease.inst, self._mirror.rights
        while True:
            await look()
            self._joined = 0 if self._keeper.held else self._joined
            self._mirror.review()
            now = self._mirror.root.catalog.inst, self._mirror.rights
            # Readers hide what they have cached, until they know for whom the rights stand.
            if now != known and (now[0] == known[0] or not self._mirror.unready):
                known = now
                self._lease.inst = now[0]
                await self._keeper.renew()

    async def end(self) -> None:
        """Give the lease back."""
        if self._keeper.held:
            await self._keeper.give_back()
        elif self._joined:
            await _withdraw(self._link, self._lease.root, self._lease.mirror)

    def step(self, paths: set[DatasetPath]) -> None:
        """Pass on a change; of several at once readers ask what they were."""
        if not self._keeper.held:
            return
        catalog, lease = self._mirror.root.catalog, self._lease
        single = len(paths) == 1 and catalog.revision == self._rev + 1
        self._rev = catalog.revision
        if catalog.inst != lease.inst:
            return
        if single:
            path = next(iter(paths))
            self._announcer.announce(_change(lease, catalog.revision, path, catalog.entry(path)))
        else:
            self._announcer.announce(lease.beat(catalog.revision))


def _change(lease: Lease, rev: int, path: DatasetPath, entry: Entry | None) -> messages.Change:
    fields: dict[str, object] = {"path": path, "op": "delete"}
    if entry is not None:
        fields = entry.fields() | {"op": "put"}
    of = {"root": lease.root, "inst": lease.inst, "fence": lease.fence, "rev": rev}
    return messages.Change.model_validate(of | fields)


class Site:
    """The broker of another site: one link for all roots that are published there.

    Parameters
    ----------
    broker : Address
    context : zmq.Context
    protect : OneOfKeys
    limits : Limits
    """

    def __init__(
        self,
        broker: sockets.Address,
        context: sockets.Context,
        protect: OneOfKeys,
        limits: Limits = DEFAULTS,
    ) -> None:
        self._lost: list[asyncio.Event] = []
        self._pub = functools.partial(
            sockets.make, context, zmq.PUB, limits=limits.wire, protect=protect
        )
        self.link = BrokerLink(context, broker, self._on_lost, limits.wire, protect)

    def _on_lost(self) -> None:
        for lost in self._lost:
            lost.set()

    def publishes(self, mirror: MirroredRoot, lease: MirrorLease, file: LeaseFile) -> AtAnotherSite:
        """Make what publishes a root there."""
        self._lost.append(lost := asyncio.Event())
        announcer = Announcer(self._pub, lease.root)
        return AtAnotherSite(mirror, lease, file, self.link, lost, announcer)
