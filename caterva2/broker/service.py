"""The broker: sockets and time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Self

from caterva2.broker.beats import Beats
from caterva2.broker.bound import BrokerOptions, BrokerSockets
from caterva2.broker.leases import Registry
from caterva2.broker.monitoring import BrokerMonitor
from caterva2.broker.outbox import Outbox
from caterva2.broker.record import Record
from caterva2.broker.roots_log import RootsLog
from caterva2.errors import BadMessage, NotAllowed, StartError, VersionMismatch
from caterva2.limits import DEFAULTS, BrokerLimits, Limits
from caterva2.names import RootName
from caterva2.runtime.fair_shares import share_of
from caterva2.runtime.service import new_instance
from caterva2.runtime.statedir import StateDir
from caterva2.runtime.tasks import Tasks
from caterva2.wire import codec, messages, sockets
from caterva2.wire.auth.policy import Grant, Role
from caterva2.wire.auth.service_keys import (
    OPEN,
    Admission,
    admission,
    counts,
)
from caterva2.wire.networks import ANYWHERE, Networks, is_loopback
from caterva2.wire.responder import Peer, Responder
from caterva2.wire.sockets import Frames, LoopSocket

log = logging.getLogger(__name__)
_SUBSCRIBE_ROOTS = b"\x01root/"
_VERBS = {Role.PUBLISH: "publish", Role.MIRROR: "mirror"}


class Broker:
    """Answers on the control socket, and forwards the notes of publishers that hold a root.

    Parameters
    ----------
    registry : Registry
    bound : BrokerSockets
        Closed at the end.
    roots_log : RootsLog
        Where the registry outlives the broker.
    limits : BrokerLimits
    keys : Admission, optional
    publishers : Networks, optional
    """

    def __init__(
        self,
        registry: Registry,
        bound: BrokerSockets,
        roots_log: RootsLog,
        limits: BrokerLimits,
        keys: Admission = OPEN,
        publishers: Networks = ANYWHERE,
    ) -> None:
        self._publishers = publishers
        self.registry = registry
        self.endpoint = bound.control.address
        self._bound = bound
        self._roots_log = roots_log
        self._limits = limits
        self.monitor = BrokerMonitor(registry, lambda: self._outbox, self._peers)
        self._outbox = Outbox(self._save, self._announce)
        self._beats = Beats()
        self._tasks = Tasks()
        self._keys = keys
        self._may_note, self._may_subscribe = keys.at("xsub"), keys.at("xpub")
        self._xsub = LoopSocket(bound.xsub.socket, self._on_note, addressed=True)
        self._xpub = LoopSocket(bound.xpub.socket, self._on_subscription, addressed=True)
        self._control: Responder[messages.ControlRequest] = Responder(
            bound.control.socket, codec.control_requests, "the broker",
            authenticator=keys.at("control"), on_message=self._on_message,
        )  # fmt: skip
        self._control.handle(messages.Hello, self._hello)
        self._control.handle(messages.Register, self._register)
        self._control.handle(messages.Mirror, self._mirror)
        self._control.handle(messages.Renew, self._renew)
        self._control.handle(messages.Unmirror, self._unmirror)
        self._control.handle(messages.Unregister, self._unregister)
        self._control.handle(messages.SnapshotRequest, self._snapshot)
        self._control.handle(messages.Ping, self._pong)

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(
        cls, options: BrokerOptions, limits: Limits = DEFAULTS
    ) -> AsyncIterator[Self]:
        """Run a broker while the context is entered.

        Raises
        ------
        StartError
            If an address can't be bound, or the state directory can't be used.
        """
        async with contextlib.AsyncExitStack() as stack:
            statedir = stack.enter_context(StateDir(options.statedir))
            roots_log = stack.enter_context(contextlib.closing(RootsLog(statedir.path)))
            keys = admission(options.keys, statedir.path, _admits)
            registry = _load(roots_log, limits.broker, keys)
            context = stack.enter_context(sockets.new_context())
            stack.enter_context(keys.handling(context))
            bound = BrokerSockets.bind(stack, context, options, limits.wire, keys)
            made = cls(registry, bound, roots_log, limits.broker, keys, options.publishers)
            async with made as broker:
                yield broker

    async def __aenter__(self) -> Self:
        # The broker subscribes to the notes of all roots, since these renew leases. So nothing
        # that subscribers send upstream needs to be forwarded.
        self._xsub.send([_SUBSCRIBE_ROOTS])
        self._end_leases()  # those of keys that were revoked while there was no broker
        self._tasks.start(self._outbox.run(), "publish")
        self._tasks.start(self._beat(), "beat")
        self._tasks.start(self._keys.follow(self._on_keys), "follow the keys")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.stop()
        self._control.close()
        self._xsub.close()
        self._xpub.close()

    @property
    def ready(self) -> str:
        """The line to print when the broker is ready."""
        xsub, xpub = self._bound.xsub.address, self._bound.xpub.address
        return f"ready at {self.endpoint} (xsub {xsub}, xpub {xpub})"

    def _peers(self) -> dict[str, int]:
        """Return the number of connections by the socket that they are to."""
        return {
            "control": self._control.connections.count(),
            "xsub": self._xsub.connections.count(), "xpub": self._xpub.connections.count(),
        }  # fmt: skip

    @property
    def status(self) -> str:
        return f"{len(self.registry)} roots, {self.registry.connections} links up"

    async def failed(self) -> None:
        """Wait for the first failure of a background task, and raise it."""
        await self._tasks.failed()

    def _on_keys(self) -> None:
        """End what keys that were revoked have here."""
        sockets = {
            "control": self._control.connections,
            "xsub": self._xsub.connections,
            "xpub": self._xpub.connections,
        }
        self._keys.end_revoked(sockets)
        self._end_leases()

    def _end_leases(self) -> None:
        may = [functools.partial(self._may, role) for role in (Role.PUBLISH, Role.MIRROR)]
        self._outbox.put(self.registry.revoke(*may))

    def _may(self, role: Role, key: str, root: RootName) -> bool:
        grant = self._keys.authenticator.grant(key)
        return grant is not None and grant.covers(role, root)

    # --- control ---

    def _on_message(self, peer: Peer) -> None:
        self.registry.heard(peer.route, time.monotonic(), peer.key)

    def _hello(self, peer: Peer, request: messages.Hello) -> None:
        if messages.VERSION not in request.versions:
            raise VersionMismatch(f"this broker speaks version {messages.VERSION}")
        self._control.reply(
            peer,
            messages.BrokerHello(
                id=request.id, binst=self.registry.binst,
                xsub=self._bound.xsub.address.endpoint, xpub=self._bound.xpub.address.endpoint,
            ),
        )  # fmt: skip

    def _snapshot(self, peer: Peer, request: messages.SnapshotRequest) -> None:
        if Role.READ not in peer.grant.role:
            raise NotAllowed(f"the key of {peer.grant.name} may not read")
        self._control.reply(peer, *self.registry.snapshot(request.id))

    def _pong(
        self, peer: Peer, request: messages.Ping | messages.Unregister | messages.Unmirror
    ) -> None:
        self._control.reply(peer, messages.Pong(id=request.id, binst=self.registry.binst))

    def _unregister(self, peer: Peer, request: messages.Unregister) -> None:
        self._outbox.put(self.registry.unregister(request, peer.key))
        self._pong(peer, request)

    def _unmirror(self, peer: Peer, request: messages.Unmirror) -> None:
        self._outbox.put(self.registry.unmirror(request, peer.key))
        self._pong(peer, request)

    def _mirror(self, peer: Peer, request: messages.Mirror) -> None:
        _refuse_foreign(peer, request, Role.MIRROR)
        self._publishers.refuse(request.root, (request.endpoint,), is_loopback(peer.address))
        granted, notes = self.registry.mirror(request, time.monotonic(), peer.key)
        if notes:
            log.info("root %s has a mirror at %s", request.root, request.endpoint)
            self._outbox.put(notes)
        self._control.reply(peer, granted)

    def _renew(self, peer: Peer, request: messages.Renew) -> None:
        roots = self.registry.mirrors.prolong(request, time.monotonic(), peer.key)
        self._control.reply(
            peer, messages.Renewed(id=request.id, binst=self.registry.binst, roots=roots)
        )

    def _register(self, peer: Peer, request: messages.Register) -> None:
        _refuse_foreign(peer, request, Role.PUBLISH)
        self._publishers.refuse(request.root, request.endpoints, is_loopback(peer.address))
        share = peer.grant.name or share_of(peer.address)
        granted, notes = self.registry.register(
            request, peer.route, time.monotonic(), share, peer.key
        )
        if notes:
            log.info("root %s is at %s", request.root, ", ".join(request.endpoints))
            self._outbox.put(notes)
        self._control.reply(peer, granted)

    # --- announcements ---

    async def _beat(self) -> None:
        """Send beats, those of roots that waited too; they wait for no disk."""
        while True:
            for frames in self._beats.take():
                self._xpub.send(frames)
            self._outbox.put(self.registry.expire(time.monotonic()))
            self._announce(self.registry.beat(self._outbox.sent))
            await asyncio.sleep(self._limits.beat)

    def _save(self, notes: Sequence[messages.RootsNote]) -> None:
        records = (Record.of_note(note) for note in notes)
        with self.monitor.writing():
            self._roots_log.add([record for record in records if record], self.registry.dump)

    def _announce(self, note: messages.RootsNote) -> None:
        if isinstance(note, messages.RootDown):
            self._beats.forget(note.root)
        self._xpub.send([codec.ROOTS_TOPIC, *codec.encode(note)])

    def _on_note(self, frames: Frames) -> None:
        """Forward a note if its sender holds the root."""
        if not counts(self._xsub, self._may_note):
            return
        try:
            note = codec.root_notes(frames[1:])
        except BadMessage as error:
            self.monitor.dropped["bad-message"] += 1
            log.debug("dropped a note: %s", error)
            return
        if frames[0] != codec.root_topic(note.root) or len(frames) != 3:
            self.monitor.dropped["wrong-topic"] += 1
            log.debug("dropped a note with a wrong topic")
        elif self.registry.admits(note, time.monotonic(), self._xsub.key):
            self.monitor.forwarded += 1
            if not self._beats.waits(note, frames):
                self._xpub.send(frames)
        else:
            self.monitor.dropped["not-the-holder"] += 1
            by = self._xsub.key or note.inst
            log.debug("dropped a note about %s by %s, which does not hold it", note.root, by)

    def _on_subscription(self, frames: Frames) -> None:
        """Drop what subscribers send upstream; XPUB handles subscriptions by itself."""
        if self._xpub.connection is None:  # the end of a connection
            return
        if not counts(self._xpub, self._may_subscribe):
            return
        if len(frames) != 1 or frames[0][:1] not in (b"\x00", b"\x01"):
            self.monitor.dropped["from-subscriber"] += 1
            log.debug("dropped a message that a subscriber sent upstream")
        else:
            self._xpub.connection.weight += 1 if frames[0][:1] == b"\x01" else -1
            if self._xpub.connection.weight > self._limits.topics:
                text = f"ended a connection of {self._xpub.sender}: too many topics (TOPICS)"
                self.monitor.faults.note("refused", text)
                self._xpub.end_sender()


def forget(statedir: Path, names: Sequence[RootName], limits: BrokerLimits) -> None:
    """Drop all that a broker, which must not run now, knows of some names of roots.

    Raises
    ------
    NotFound
        If one of them is unknown; none is dropped then.
    StartError
        If the state directory can't be used, or a broker uses it.
    """
    with StateDir(statedir) as locked, contextlib.closing(RootsLog(locked.path)) as roots_log:
        registry = _load(roots_log, limits)
        for name in names:
            registry.forget(name)
        try:
            roots_log.write(registry.dump())
        except OSError as error:
            raise StartError(f"{roots_log.path} can't be written: {error}") from None


def _admits(domain: str, grant: Grant) -> bool:
    """Return whether the holder of rights may use the socket of a domain."""
    needed = {"xsub": Role.PUBLISH, "xpub": Role.READ}
    return domain == "control" or needed[domain] in grant.role


def _refuse_foreign(peer: Peer, request: messages.Register | messages.Mirror, role: Role) -> None:
    """Raise `NotAllowed` if a root is not for the holder of a key, or is to have another's key."""
    if not peer.grant.covers(role, request.root):
        raise NotAllowed(
            f"the key of {peer.grant.name} may not {_VERBS[role]} root {request.root}: the list of"
            " the broker says which"
        )
    if peer.key and request.curve_key != peer.key:
        raise NotAllowed(f"curve_key of root {request.root} is not the key of this connection")


def _load(roots_log: RootsLog, limits: BrokerLimits, keys: Admission = OPEN) -> Registry:
    holder = keys.authenticator.holder
    return Registry(new_instance(), roots_log.read(), time.monotonic(), limits, holder)
