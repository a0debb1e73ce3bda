"""The publisher's shell: holds a root's lease, answers data requests, announces changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zmq

from caterva2.errors import (
    BadMessage,
    CatervaError,
    DeadlineExceeded,
    RootOffline,
    RootTaken,
    StartError,
    VersionMismatch,
)
from caterva2.names import DatasetPath, RootName
from caterva2.publisher.requests import DataRequests
from caterva2.runtime import durable
from caterva2.runtime.service import new_instance
from caterva2.runtime.statedir import StateDir
from caterva2.runtime.tasks import Tasks
from caterva2.sources.base import ALL, Source
from caterva2.sources.catalog import Ledger, Step
from caterva2.sources.watcher import Watcher
from caterva2.wire import codec, messages, sockets
from caterva2.wire.broker_link import BrokerLink
from caterva2.wire.sockets import Address, Frames, LoopSocket

log = logging.getLogger(__name__)
LEASE_FILE = "lease.json"
RENEWAL_CHECK = 2.5
"""Seconds after which a holder that lives has renewed its lease."""
WARM_UP = 0.5
"""Seconds until what reading needs is loaded: by then the first listing has gone out."""
REMEMBER = 300.0
"""Seconds between two times that a source is told to keep what it knows."""
_TRANSIENT = (DeadlineExceeded, RootOffline)


@dataclass(frozen=True, slots=True)
class PublisherOptions:
    """Which root is published, from where and to whom."""

    root: RootName
    broker: Address
    endpoint: Address
    advertise: Address | None
    statedir: Path


class Publisher:
    """Serves one root.

    Parameters
    ----------
    options : PublisherOptions
    open_source : callable
        Makes the source; called when the state directory is held.
    """

    def __init__(self, options: PublisherOptions, open_source: Callable[[], Source]) -> None:
        if options.endpoint.is_wildcard and options.advertise is None:
            raise StartError(f"listening on {options.endpoint} needs --advertise HOST[:PORT]")
        self._options = options
        self._statedir = StateDir(options.statedir)
        self._source = open_source()
        self._inst = new_instance()
        self._former_inst, self._fence = self._saved_lease()
        self._ledger = Ledger()
        self._context: sockets.Context = zmq.Context()

    def _saved_lease(self) -> tuple[str, int]:
        """Instance and fence of this publisher's last run with this root."""
        path = self._statedir.path / LEASE_FILE
        try:
            saved = json.loads(path.read_bytes()) if path.exists() else {}
            lease = saved.get(self._options.root, {"inst": "", "fence": 0})
            return str(lease["inst"]), int(lease["fence"])
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise StartError(f"{path} can't be read: {error}") from None

    async def start(self) -> str:
        router = sockets.make(self._context, zmq.ROUTER, data=True)
        self._endpoint = sockets.bind(router, self._options.endpoint, "data")
        found = await asyncio.to_thread(self._source.scan)
        if not found:
            raise StartError(f"root {self._options.root} is empty: its source holds no files")
        self._ledger.replace(ALL, found)
        self._socket = LoopSocket(router, self._on_request)
        self._jobs = DataRequests(self._source, self._socket, self._found)
        self._pub = sockets.make(self._context, zmq.PUB)
        self._watcher = Watcher(self._source)
        self._broker_lost = asyncio.Event()
        self._link = BrokerLink(self._context, self._options.broker, self._broker_lost.set)
        self._tasks = Tasks()
        self._tasks.start(self._hold_lease(), "lease")
        self._tasks.start(self._watch(), "watch")
        self._tasks.start(self._warm_up(), "warm-up")
        return (
            f"root {self._options.root} with {len(found)} datasets ready at {self._endpoint}, "
            f"broker {self._options.broker}"
        )

    async def failed(self) -> None:
        await self._tasks.failed()

    async def stop(self) -> None:
        if hasattr(self, "_tasks"):
            await self._tasks.stop()
            await self._watcher.stop()
            await self._give_back(self._inst)
            await self._jobs.stop()
            await asyncio.to_thread(self._source.remember)
            log.info("%s", self._jobs.served.summary())
            self._socket.close()
            await asyncio.to_thread(self._link.close)
        self._context.destroy(linger=0)
        self._source.close()
        self._statedir.close()

    async def _give_back(self, inst: str) -> None:
        request = messages.Unregister(root=self._options.root, inst=inst, fence=self._fence)
        try:
            await self._link.unregister(request)
        except CatervaError as error:
            log.info("the root was not given back: %s", error)

    # --- the lease ---

    async def _hold_lease(self) -> None:
        """Register, beat, and register anew whenever the broker is another one or was away."""
        xsub = ""
        while True:
            self._broker_lost.clear()
            hello = await self._link.hello()
            if hello.xsub != xsub:
                if xsub:
                    self._pub.disconnect(xsub)
                xsub = hello.xsub
                sockets.connect(self._pub, xsub)
            try:
                granted = await self._register()
            except _TRANSIENT as error:
                log.warning("not registered: %s", error)
                continue
            if granted.fence != self._fence:
                await self._remember(granted.fence)
            log.info("root %s registered, fence %d", self._options.root, self._fence)
            await self._beat_until_lost(granted)

    async def _register(self) -> messages.Registered:
        """Ask for the lease; wait for one that nobody renews to run out.

        The holder of such a lease was killed. If it was this publisher's own former run, which
        has ended for sure since the state directory is held by us, its lease is given back.
        """
        if self._former_inst:
            await self._give_back(self._former_inst)
            self._former_inst = ""
        left = math.inf
        while True:
            try:
                return await self._link.register(self._registration())
            except RootTaken as error:
                before, left = left, int(str(error.info.get("lease_ms", 0))) / 1000
                if left > before - RENEWAL_CHECK / 2:
                    raise  # it was renewed meanwhile: somebody is there
                log.info("waiting until the lease of a former publisher ends: %s", error)
                await asyncio.sleep(min(RENEWAL_CHECK, left + 0.1))

    def _registration(self) -> messages.Register:
        advertise = self._options.advertise or self._endpoint
        endpoint = Address(advertise.host, advertise.port or self._endpoint.port).endpoint
        return messages.Register(
            root=self._options.root, inst=self._inst, fence=self._fence, endpoints=(endpoint,)
        )

    async def _remember(self, fence: int) -> None:
        self._fence = fence
        path = self._statedir.path / LEASE_FILE
        try:
            lease = {"inst": self._inst, "fence": fence}
            content = json.dumps({self._options.root: lease}).encode()
            await asyncio.to_thread(durable.write, path, content)
        except OSError as error:
            log.error("%s can't be written: %s", path, error)

    async def _beat_until_lost(self, granted: messages.Registered) -> None:
        while True:
            self._announce(
                messages.RootBeat(
                    root=self._options.root, inst=self._inst, fence=self._fence,
                    rev=self._ledger.rev,
                )
            )  # fmt: skip
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._broker_lost.wait(), granted.beat_ms / 1000)
                log.warning("the broker is away")
                return
            try:
                # Registering again renews the lease, and tells if it was lost meanwhile.
                renewed = await self._link.register(self._registration())
            except _TRANSIENT as error:
                log.warning("the broker is away: %s", error)
                return
            if (renewed.binst, renewed.fence) != (granted.binst, granted.fence):
                return

    async def _warm_up(self) -> None:
        """Load what reading needs; a request that comes earlier does it itself."""
        await asyncio.sleep(WARM_UP)
        await asyncio.to_thread(self._source.warm_up)

    # --- changes ---

    async def _watch(self) -> None:
        remembered = -math.inf
        while True:
            for scope in await self._watcher.scopes():
                found = await asyncio.to_thread(self._source.scan, scope)
                for step in self._ledger.replace(scope, found):
                    self._announce(self._change(step))
                if scope == ALL and time.monotonic() - remembered >= REMEMBER:
                    await asyncio.to_thread(self._source.remember)
                    remembered = time.monotonic()

    def _found(self, path: DatasetPath, etag: str) -> None:
        """A request met a version; if it is not the announced one, look at once."""
        entry = self._ledger.entries.get(path)
        if etag != (entry.etag if entry else ""):
            self._watcher.hint(path)

    def _change(self, step: Step) -> messages.Change:
        fields: dict[str, object] = {"path": step.path, "op": "delete"}
        if step.entry is not None:
            fields = step.entry.fields() | {"op": "put"}
        origin = {"root": self._options.root, "inst": self._inst, "fence": self._fence}
        return messages.Change.model_validate(origin | fields | {"rev": step.rev})

    def _announce(self, note: messages.RootNote) -> None:
        frames = [codec.root_topic(self._options.root), *codec.encode(note)]
        with contextlib.suppress(zmq.Again):  # the next beat tells the revision
            self._pub.send_multipart(frames, zmq.DONTWAIT)

    # --- requests ---

    def _on_request(self, frames: Frames) -> None:
        peer, rest = frames[0], frames[1:]
        request_id = 0
        try:
            request = codec.data_requests(rest)
            request_id = request.id
            self._dispatch(peer, request)
        except codec.NotOurs:
            log.debug("dropped a message that is not ours")
        except BadMessage as error:
            self._reply(peer, codec.error_message(request_id or codec.request_id(error), error))
        except CatervaError as error:
            self._reply(peer, codec.error_message(request_id, error))

    def _dispatch(self, peer: bytes, request: messages.DataRequest) -> None:
        if isinstance(request, messages.Hello):
            if messages.VERSION not in request.versions:
                raise VersionMismatch(f"this publisher speaks version {messages.VERSION}")
            self._reply(
                peer,
                messages.PublisherHello(
                    id=request.id, inst=self._inst, fence=self._fence, root=self._options.root,
                    rev=self._ledger.rev,
                ),
            )  # fmt: skip
        elif isinstance(request, messages.CatalogRequest):
            since = request.since_rev if request.inst == self._inst else -1
            self._reply(peer, self._ledger.page(request.id, self._inst, since, request.cursor))
        elif isinstance(request, messages.Cancel):
            self._jobs.cancel(peer, request.id)
        else:
            self._jobs.start(peer, request)

    def _reply(self, peer: bytes, reply: messages.DataReply) -> None:
        with contextlib.suppress(zmq.ZMQError):  # the peer is gone
            if not self._socket.send([peer, *codec.encode(reply)]):
                log.warning("a peer's queue is full: dropped %s", reply.type)
