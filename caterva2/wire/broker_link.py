"""Requests to the broker, for publishers and subscribers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Self

from caterva2.errors import BadMessage, CatervaError
from caterva2.limits import DEFAULTS, WireLimits
from caterva2.runtime.single_flight import SingleFlight
from caterva2.version import __version__
from caterva2.wire import codec, messages, sockets
from caterva2.wire.auth.curve import PLAIN, OneOfKeys
from caterva2.wire.calls import Call
from caterva2.wire.requester import Requester
from caterva2.wire.sockets import Address

log = logging.getLogger(__name__)
CREDIT = 256
"""Requests in flight: a mirror of many roots registers them all by one link, some times a lease."""


class SnapshotCall(Call[messages.ControlReply]):
    """A call that gathers the parts of a snapshot."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.future: Future[list[messages.Snapshot]] = Future()
        self._parts: list[messages.Snapshot] = []

    def message(self, request_id: int) -> messages.SnapshotRequest | None:
        self._parts = []
        return messages.SnapshotRequest(id=request_id)

    def on_reply(self, reply: messages.ControlReply, payload: Sequence[memoryview]) -> bool:
        if not isinstance(reply, messages.Snapshot) or reply.part != len(self._parts):
            raise BadMessage(f"the broker answered {reply.type} to snapshot?")
        self._parts.append(reply)
        if reply.part < reply.parts - 1:
            return False
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(self._parts)
        return True

    def on_error(self, error: CatervaError) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class BrokerLink:
    """Requests to the broker's control socket.

    Parameters
    ----------
    context : zmq.Context
    broker : Address
        The control endpoint; it need not be there yet.
    on_lost : callable
        Called on the running loop when the connection is lost: the broker that answers next
        may be another one.
    limits : WireLimits, optional
    protect : OneOfKeys, optional
        Has the connection encrypted.
    """

    def __init__(
        self,
        context: sockets.Context,
        broker: Address,
        on_lost: Callable[[], None],
        limits: WireLimits = DEFAULTS.wire,
        protect: OneOfKeys | None = None,
    ) -> None:
        self._broker = broker
        self._key = protect or OneOfKeys(PLAIN, [""])
        # Enough to detect a dead connection and to ask again on a new one.
        self._timeout = 2 * limits.first_byte
        self._greeting = limits.first_byte if self._key.are_several else self._timeout
        loop = asyncio.get_running_loop()

        def lost() -> None:
            loop.call_soon_threadsafe(on_lost)

        def connected() -> Requester[messages.ControlReply]:
            return Requester(
                context, broker.endpoint, codec.control_replies, "the broker", lost,
                limits=replace(limits, credit=CREDIT), protect=self._key,
            )  # fmt: skip

        self._connected = connected
        self._greetings: SingleFlight[None, messages.BrokerHello] = SingleFlight()
        self._requester = connected()

    async def hello(self) -> messages.BrokerHello:
        """Greet the broker, and wait for it without a limit; find out which key it has."""
        # The roots of one link ask together: one after the other, their leases would end meanwhile.
        return await self._greetings.run(None, self._hello)

    async def _hello(self) -> messages.BrokerHello:
        warned = False
        while True:
            hello = messages.Hello(agent=f"caterva2/{__version__}")
            try:
                reply = await self._requester.ask(hello, timeout=self._greeting)
            except CatervaError as error:
                # Where nothing listens, or our own key is not admitted, the key is not at fault.
                if self._key.are_several and not self._requester.refused:
                    await self._try_another_key()
                if not warned:
                    log.warning("waiting for the broker at %s: %s", self._broker, error)
                    warned = True
                await asyncio.sleep(0.2)
                continue
            self._key.worked("the broker")
            if not isinstance(reply, messages.BrokerHello):
                raise BadMessage(f"{self._broker} is not a broker: it answered {reply.type}")
            return reply.model_copy(
                update={
                    "xsub": sockets.reachable(reply.xsub, self._broker.endpoint),
                    "xpub": sockets.reachable(reply.xpub, self._broker.endpoint),
                }
            )

    async def _try_another_key(self) -> None:
        former = self._requester
        await asyncio.to_thread(former.close)  # its thread prepares sockets with the current key
        self._key.turn()
        self._requester = self._connected()

    async def register(self, request: messages.Register) -> messages.Registered:
        """Request or renew a root's lease.

        Raises
        ------
        RootTaken
            If another publisher holds it.
        """
        reply = await self._requester.ask(request, timeout=self._timeout)
        if not isinstance(reply, messages.Registered):
            raise BadMessage(f"the broker answered {reply.type} to register")
        return reply

    async def unregister(self, request: messages.Unregister) -> None:
        """End a root's lease.

        Raises
        ------
        Fenced
            If the sender does not hold it.
        """
        await self._requester.ask(request, timeout=1.0)

    async def mirror(self, request: messages.Mirror) -> messages.Registered:
        """Announce a mirror, or renew its lease."""
        reply = await self._requester.ask(request, timeout=self._timeout)
        if not isinstance(reply, messages.Registered):
            raise BadMessage(f"the broker answered {reply.type} to mirror")
        return reply

    async def renew(self, request: messages.Renew) -> messages.Renewed:
        """Renew leases of mirrors as they are.

        Raises
        ------
        BadMessage
            If the broker is one of before this request.
        """
        reply = await self._requester.ask(request, timeout=self._timeout)
        if not isinstance(reply, messages.Renewed):
            raise BadMessage(f"the broker answered {reply.type} to renew")
        return reply

    async def unmirror(self, request: messages.Unmirror) -> None:
        """End the lease of a mirror."""
        await self._requester.ask(request, timeout=1.0)

    async def snapshot(self) -> list[messages.Snapshot]:
        """Return the current leases of all roots, in parts."""
        call = SnapshotCall(time.monotonic() + self._timeout)
        self._requester.submit(call)
        return await asyncio.wrap_future(call.future)

    def close(self) -> None:
        """End the requester's thread. Blocks."""
        self._requester.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)
