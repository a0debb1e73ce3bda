"""The way to the broker that publishers and subscribers share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from caterva2 import limits
from caterva2.errors import BadMessage, CatervaError
from caterva2.version import __version__
from caterva2.wire import codec, messages, sockets
from caterva2.wire.calls import Call
from caterva2.wire.requester import Requester
from caterva2.wire.sockets import Address

log = logging.getLogger(__name__)
ANSWER = 2 * limits.FIRST_BYTE
"""Seconds for an answer: enough to notice a dead connection and to ask again on a new one."""


class SnapshotCall(Call[messages.ControlReply]):
    """Gathers the parts of a snapshot."""

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
        Told, on the running loop, when the connection is lost: a broker that comes back may
        be another one.
    """

    def __init__(
        self, context: sockets.Context, broker: Address, on_lost: Callable[[], None]
    ) -> None:
        self._broker = broker
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(on_lost)

        self._requester = Requester(
            context, broker.endpoint, codec.control_replies, "the broker", tell
        )

    async def hello(self) -> messages.BrokerHello:
        """Wait for the broker, however long it takes, and greet it."""
        told = False
        while True:
            hello = messages.Hello(agent=f"caterva2/{__version__}")
            try:
                reply = await self._requester.ask(hello, timeout=ANSWER)
            except CatervaError as error:
                if not told:
                    log.warning("waiting for the broker at %s: %s", self._broker, error)
                    told = True
                await asyncio.sleep(0.2)
                continue
            if not isinstance(reply, messages.BrokerHello):
                raise BadMessage(f"{self._broker} is no broker: it answered {reply.type}")
            return reply.model_copy(
                update={
                    "xsub": sockets.reachable(reply.xsub, self._broker.endpoint),
                    "xpub": sockets.reachable(reply.xpub, self._broker.endpoint),
                }
            )

    async def register(self, request: messages.Register) -> messages.Registered:
        """Ask for a root's lease; `RootTaken` if somebody else holds it."""
        reply = await self._requester.ask(request, timeout=ANSWER)
        if not isinstance(reply, messages.Registered):
            raise BadMessage(f"the broker answered {reply.type} to register")
        return reply

    async def unregister(self, request: messages.Unregister) -> None:
        """Give a root back."""
        await self._requester.ask(request, timeout=1.0)

    async def snapshot(self) -> list[messages.Snapshot]:
        """All roots as they are now, in parts."""
        call = SnapshotCall(time.monotonic() + ANSWER)
        self._requester.submit(call)
        return await asyncio.wrap_future(call.future)

    def close(self) -> None:
        self._requester.close()
