"""The broker's shell: sockets, time and the file that keeps the registry over a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import zmq

from caterva2 import limits
from caterva2.broker.leases import Registry
from caterva2.errors import BadMessage, CatervaError, StartError, VersionMismatch
from caterva2.runtime import durable
from caterva2.runtime.service import new_instance
from caterva2.runtime.statedir import StateDir
from caterva2.runtime.tasks import Tasks
from caterva2.wire import codec, messages, sockets
from caterva2.wire.sockets import Address, Frames, LoopSocket

log = logging.getLogger(__name__)
ROOTS_FILE = "roots.json"
_SUBSCRIBE_ROOTS = b"\x01root/"


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where the broker listens and keeps its state."""

    endpoint: Address
    xsub: Address
    xpub: Address
    statedir: Path


class Broker:
    """Answers on the control socket, and forwards what holders of roots say about them."""

    def __init__(self, options: BrokerOptions) -> None:
        self._options = options
        self._context: sockets.Context = zmq.Context()
        self._statedir = StateDir(options.statedir)
        self._registry = self._load()

    def _load(self) -> Registry:
        path = self._statedir.path / ROOTS_FILE
        try:
            saved = path.read_bytes() if path.exists() else None
            return Registry(new_instance(), saved, time.monotonic())
        except (OSError, ValueError, KeyError, TypeError, CatervaError) as error:
            raise StartError(f"{path} can't be read: {error}") from None

    async def start(self) -> str:
        raw = {kind: sockets.make(self._context, kind) for kind in (zmq.ROUTER, zmq.XSUB, zmq.XPUB)}
        try:
            self._endpoint = sockets.bind(raw[zmq.ROUTER], self._options.endpoint, "control")
            self._xsub_address = sockets.bind(raw[zmq.XSUB], self._options.xsub, "xsub")
            self._xpub_address = sockets.bind(raw[zmq.XPUB], self._options.xpub, "xpub")
        except StartError:
            self._context.destroy(linger=0)
            raise
        self._control = LoopSocket(raw[zmq.ROUTER], self._on_control)
        self._xsub = LoopSocket(raw[zmq.XSUB], self._on_note)
        self._xpub = LoopSocket(raw[zmq.XPUB], self._on_subscription)
        # The broker hears all roots, whoever subscribes: their traffic renews their leases. So
        # nothing that a subscriber sends upstream needs to go any further.
        self._xsub.send([_SUBSCRIBE_ROOTS])
        self._outbox: asyncio.Queue[list[messages.RootsNote]] = asyncio.Queue()
        self._tasks = Tasks()
        self._tasks.start(self._publish(), "publish")
        self._tasks.start(self._beat(), "beat")
        return f"ready at {self._endpoint} (xsub {self._xsub_address}, xpub {self._xpub_address})"

    async def failed(self) -> None:
        await self._tasks.failed()

    async def stop(self) -> None:
        if hasattr(self, "_tasks"):
            await self._tasks.stop()
            for socket in (self._control, self._xsub, self._xpub):
                socket.close()
        self._context.destroy(linger=0)
        self._statedir.close()

    async def _beat(self) -> None:
        while True:
            expired = self._registry.expire(time.monotonic())
            self._outbox.put_nowait([*expired, self._registry.beat()])
            await asyncio.sleep(limits.BEAT)

    # --- control ---

    def _on_control(self, frames: Frames) -> None:
        peer, rest = frames[0], frames[1:]
        self._registry.heard(peer, time.monotonic())
        try:
            request = codec.control_requests(rest)
        except codec.NotOurs:
            log.debug("dropped a message that is not ours")
            return
        except BadMessage as error:
            number = error.info.get("id", 0)
            self._reply(
                peer, [codec.error_message(number if isinstance(number, int) else 0, error)]
            )
            return
        try:
            replies = self._answer(peer, request)
        except CatervaError as error:
            log.info("refused %s: %s", request.type, error)
            replies = [codec.error_message(request.id, error)]
        self._reply(peer, replies)

    def _answer(self, peer: bytes, request: messages.ControlRequest) -> list[messages.ControlReply]:
        registry, now = self._registry, time.monotonic()
        if isinstance(request, messages.Hello):
            if messages.VERSION not in request.versions:
                raise VersionMismatch(f"this broker speaks version {messages.VERSION}")
            return [
                messages.BrokerHello(
                    id=request.id, binst=registry.binst,
                    xsub=self._xsub_address.endpoint, xpub=self._xpub_address.endpoint,
                )
            ]  # fmt: skip
        if isinstance(request, messages.SnapshotRequest):
            return [*registry.snapshot(request.id)]
        if isinstance(request, messages.Ping):
            return [messages.Pong(id=request.id, binst=registry.binst)]
        if isinstance(request, messages.Unregister):
            self._outbox.put_nowait(registry.unregister(request))
            return [messages.Pong(id=request.id, binst=registry.binst)]
        granted, notes = registry.register(request, peer, now)
        if notes:
            log.info("root %s is at %s", request.root, ", ".join(request.endpoints))
            self._outbox.put_nowait(notes)
        return [granted]

    def _reply(self, peer: bytes, replies: list[messages.ControlReply]) -> None:
        for reply in replies:
            with contextlib.suppress(zmq.ZMQError):  # the peer is gone
                if not self._control.send([peer, *codec.encode(reply)]):
                    log.warning("a peer's queue is full: dropped %s", reply.type)

    # --- announcements ---

    async def _publish(self) -> None:
        """Tell all subscribers, in order, after the state that a note stands for is on disk."""
        path = self._statedir.path / ROOTS_FILE
        while True:
            notes = await self._outbox.get()
            if any(not isinstance(note, messages.BrokerBeat) for note in notes):
                try:
                    await asyncio.to_thread(durable.write, path, self._registry.dump())
                except OSError as error:
                    log.error("%s can't be written: %s", path, error)
            for note in notes:
                self._xpub.send([codec.ROOTS_TOPIC, *codec.encode(note)])

    def _on_note(self, frames: Frames) -> None:
        """Forward what a holder says about its root; drop what anybody else says."""
        try:
            note = codec.root_notes(frames[1:])
        except BadMessage as error:
            log.debug("dropped a note: %s", error)
            return
        if frames[0] != codec.root_topic(note.root) or len(frames) != 3:
            log.debug("dropped a note with a wrong topic")
        elif self._registry.admits(note, time.monotonic()):
            self._xpub.send(frames)
        else:
            log.debug("dropped a note about %s by %s, who does not hold it", note.root, note.inst)

    def _on_subscription(self, frames: Frames) -> None:
        """Subscriptions are the XPUB socket's own business; nothing else may come up there."""
        if len(frames) != 1 or frames[0][:1] not in (b"\x00", b"\x01"):
            log.debug("dropped a message that a subscriber sent upstream")
