"""What the tests over real sockets share."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import zmq

from caterva2.wire import sockets
from caterva2.wire.sockets import Address

LIMIT = 20.0
"""Seconds within which whatever a test waits for must have happened."""
ANY = Address("127.0.0.1", 0)
Handler = Callable[[bytes, list[bytes]], list[list[bytes]]]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait in a thread until a condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + LIMIT, "it never came true"
        time.sleep(_pause(began))


async def until(condition: Callable[[], bool]) -> None:
    """Wait on the loop until a condition holds."""
    began = time.monotonic()
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 - conditions of other threads set no event
            await asyncio.sleep(_pause(began))


def _pause(began: float) -> float:
    """Return how long to wait before looking again: the longer, the longer it lasts."""
    return min(max((time.monotonic() - began) / 20, 0.002), 0.02)


class Router:
    """A ROUTER socket in a thread of its own.

    Parameters
    ----------
    context : zmq.Context
    handler : callable
        Gets the peer and the frames of a message, gives the messages to answer.
    endpoint : str, optional
        Where to listen, any free port by default.
    """

    def __init__(
        self, context: sockets.Context, handler: Handler, endpoint: str = "tcp://127.0.0.1:*"
    ) -> None:
        self.peers: list[bytes] = []
        self.failure: BaseException | None = None
        self._handler = handler
        self._stop = threading.Event()
        self._socket = sockets.make(context, zmq.ROUTER)
        self._socket.bind(endpoint)
        bound = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(bound, bytes)
        self.endpoint = bound.rstrip(b"\0").decode()
        self._thread = threading.Thread(target=self._run, name="router")
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if not self._socket.poll(10):
                    continue
                peer, *frames = self._socket.recv_multipart()
                if peer not in self.peers:
                    self.peers.append(peer)
                for answer in self._handler(peer, frames):
                    with contextlib.suppress(zmq.ZMQError):  # the peer is gone
                        self._socket.send_multipart([peer, *answer])
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.failure = error
        finally:
            self._socket.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure


@contextlib.contextmanager
def zmq_context() -> Iterator[sockets.Context]:
    """A context that is gone afterwards, with all its sockets."""
    context: sockets.Context = zmq.Context()
    try:
        yield context
    finally:
        context.destroy(linger=0)
