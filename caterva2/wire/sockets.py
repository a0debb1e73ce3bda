"""ZeroMQ sockets: safe options, addresses, and integration with an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import zmq

from caterva2.errors import ConfigError, StartError
from caterva2.limits import DEFAULTS, WireLimits, constants
from caterva2.wire.auth.connections import Connection, Connections
from caterva2.wire.auth.curve import Protect, plain
from caterva2.wire.unfinished import UnfinishedMessages

log = logging.getLogger(__name__)
Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]
Frames = list[bytes]
MAX_SOCKETS = 10_000
"""Of a context; ZeroMQ allows 1,023 by default. A requester takes three."""
FRAME_BYTES: dict[int, int] = {
    zmq.ROUTER: constants.CONTROL_FRAME,
    zmq.DEALER: constants.CONTROL_BYTES,
    zmq.XSUB: constants.NOTE_BYTES,
    zmq.SUB: constants.NOTE_BYTES,
    zmq.XPUB: constants.TOPIC_BYTES,
    zmq.PUB: constants.TOPIC_BYTES,
}
"""The largest frame that each kind of socket takes: what it needs, and no more."""
DATA_FRAME_BYTES: dict[int, int] = {
    zmq.ROUTER: constants.REQUEST_FRAME,
    zmq.DEALER: constants.ANSWER_BYTES,
}
"""Of those between publishers and subscribers."""
_TCP = re.compile(
    r"(?:tcp://)?(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.%]+\]|\*)?:(?P<port>[0-9]{1,5})"
)


@dataclass(frozen=True, slots=True)
class Address:
    """``HOST:PORT``, as on the command line and in the configuration; port 0 is any free port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, default_host: str = "127.0.0.1") -> Address:
        """Read ``HOST:PORT``, ``:PORT`` or ``tcp://HOST:PORT``.

        Raises
        ------
        ConfigError
            If the text has another form.
        """
        match = _TCP.fullmatch(text.strip())
        if not match or int(match["port"]) > 65535:
            raise ConfigError(f"{text!r} is not an address: write HOST:PORT")
        return cls(match["host"] or default_host, int(match["port"]))

    @property
    def is_wildcard(self) -> bool:
        return self.host in ("*", "0.0.0.0", "[::]")  # noqa: S104 - a comparison, not a bind

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def endpoint(self) -> str:
        return f"tcp://{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@contextlib.contextmanager
def new_context(patience: float = constants.SHUTDOWN) -> Iterator[Context]:
    """Create a ZeroMQ context; at the end close it with all its sockets, dropping their queues.

    ZeroMQ waits for a thread that still uses a socket without a limit, so it is left alone after
    ``patience`` seconds.
    """
    made: Context = zmq.Context()
    made.set(zmq.MAX_SOCKETS, min(MAX_SOCKETS, int(made.get(zmq.SOCKET_LIMIT))))
    try:
        yield made
    finally:
        end = functools.partial(made.destroy, linger=0)
        ending = threading.Thread(target=end, name="end of ZeroMQ", daemon=True)
        ending.start()
        ending.join(patience)
        if ending.is_alive():
            log.error("ZeroMQ has not ended within %g s: a thread still uses a socket", patience)


def reachable(endpoint: str, seen_from: str) -> str:
    """Return an endpoint with a wildcard host replaced by the host of another endpoint.

    Parameters
    ----------
    endpoint : str
        As a service announced it, which may listen on all addresses.
    seen_from : str
        The endpoint by which that service was reached.
    """
    address = Address.parse(endpoint) if endpoint.startswith("tcp://") else None
    if address is None or not address.is_wildcard:
        return endpoint
    return Address(Address.parse(seen_from).host, address.port).endpoint


def make(
    context: Context,
    kind: int,
    *,
    data: bool = False,
    limits: WireLimits = DEFAULTS.wire,
    protect: Protect = plain,
) -> Socket:
    """Create a socket with finite queues, bounded messages, heartbeats and no lingering.

    Parameters
    ----------
    context : zmq.Context
    kind : int
        ``zmq.ROUTER`` and so on.
    data : bool
        Whether raw chunks travel on it, which are large.
    limits : WireLimits, optional
    protect : callable, optional
        Sets options of its own at the end: `wire.auth.curve` has it encrypted.
    """
    socket = context.socket(kind)
    socket.linger = 0
    hwm = limits.data_hwm if data else limits.control_hwm
    socket.sndhwm = hwm
    socket.rcvhwm = hwm
    socket.maxmsgsize = (FRAME_BYTES | DATA_FRAME_BYTES if data else FRAME_BYTES)[kind]
    socket.heartbeat_ivl = 4_000
    socket.heartbeat_timeout = 5_000
    socket.heartbeat_ttl = 8_000
    socket.handshake_ivl = 5_000
    socket.reconnect_ivl = 100
    socket.reconnect_ivl_max = 2_000
    socket.ipv6 = False
    if kind == zmq.ROUTER:
        socket.router_mandatory = True
    if kind == zmq.DEALER:
        socket.immediate = True
    protect(socket)
    return socket


def bind(socket: Socket, address: Address, what: str) -> Address:
    """Bind and return the address in force, with the port that was taken.

    Raises
    ------
    StartError
        If the address can't be bound.
    """
    socket.ipv6 = address.host.startswith("[")
    port = address.port or "*"
    try:
        socket.bind(f"tcp://{address.host}:{port}")
    except zmq.ZMQError as error:
        raise StartError(f"{what}: can't listen on {address}: {error.strerror}") from None
    bound = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(bound, bytes)
    return Address(address.host, int(bound.rstrip(b"\0").rpartition(b":")[2]))


def connect(socket: Socket, endpoint: str) -> None:
    """Connect to an endpoint, which need not exist yet.

    Raises
    ------
    zmq.ZMQError
        If it is not an endpoint.
    """
    socket.ipv6 = "[" in endpoint
    socket.connect(endpoint)


class LoopSocket:
    """A socket whose descriptor is registered with the running loop and read without blocking.

    Parameters
    ----------
    socket : zmq.Socket
        Closed by `close`.
    on_message : callable
        Called on the loop with the frames of each message.
    addressed : bool, optional
        Whether `sender`, `key` and `connection` are to be known.

    Attributes
    ----------
    sender : str
        Network address that the message came from which is being handled; empty if unknown.
    key : str
        The authenticated key of that connection; empty without authentication.
    connection : Connection or None
    connections : Connections
        Those on which something arrived, if ``addressed``.
    """

    BURST = 100
    """Messages handled before the loop runs other callbacks."""
    PARTS = 64
    """Frames of a message, above which its connection ends: empty ones cost a peer nothing."""

    def __init__(
        self, socket: Socket, on_message: Callable[[Frames], None], *, addressed: bool = False
    ) -> None:
        self.sender = self.key = ""
        self.connection: Connection | None = None
        self.connections = Connections()
        self._addressed = addressed
        self._excess = False
        self._unfinished = UnfinishedMessages(socket, self.connections) if addressed else None
        # Without CURVE a peer may claim any user id in its handshake.
        self._keyed = bool(socket.getsockopt(zmq.CURVE_SERVER))
        self._socket = socket
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._scheduled: asyncio.Handle | None = None
        self._loop.add_reader(socket.fileno(), self._drain)
        self._again()

    def send(self, frames: Sequence[bytes | memoryview], *, copy: bool = True) -> bool:
        """Send without waiting; False if the peer's queue is full.

        Raises
        ------
        zmq.ZMQError
            ``EHOSTUNREACH`` if a ROUTER's peer is gone.
        """
        try:
            self._socket.send_multipart(frames, zmq.DONTWAIT, copy=copy)
        except zmq.Again:
            return False
        finally:
            # The descriptor is edge-triggered: a send may consume the edge of a message that
            # arrived meanwhile, so try to receive again.
            self._again()
        return True

    def _again(self) -> None:
        if self._scheduled is None:
            self._scheduled = self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        for _ in range(self.BURST):
            if self._socket.closed:
                return
            try:
                frames = self._receive()
            except zmq.Again:
                return
            if not frames:  # all of a message that has too many has been taken, or a part
                continue
            try:
                self._on_message(frames)
            except Exception:
                log.exception("handling a message failed")
        self._again()

    def _receive(self) -> Frames:
        if not self._addressed:
            return self._socket.recv_multipart(zmq.DONTWAIT)
        received = self._parts()
        if self._excess or not received:
            return []
        first = received[0]
        self.sender = _property(first, "Peer-Address")
        self.key = _property(first, "User-Id") if self._keyed else ""
        descriptor = _property(first, "__fd")
        seen = self.connections.seen
        self.connection = seen(int(descriptor), self.key) if descriptor else None
        return [frame.bytes for frame in received]

    def _parts(self) -> list[zmq.Frame]:
        """Take a message; of one that has too many frames some, and end its connection."""
        received: list[zmq.Frame] = []
        skipping = self._excess
        while len(received) < self.PARTS:
            received.append(self._socket.recv(zmq.DONTWAIT, copy=False))
            if not received[-1].more:
                self._excess = False
                return [] if skipping else received
        if not skipping:
            self._excess = True
            descriptor = _property(received[0], "__fd")
            seen = self.connections.seen(int(descriptor), "") if descriptor else None
            if seen is not None:
                log.warning("ended a connection: a message has more than %d frames", self.PARTS)
                self.connections.end(seen)
        return []

    def end_sender(self) -> None:
        """End the connection that the message came from which is being handled."""
        if self.connection is not None:
            self.connections.end(self.connection)

    def subscribe(self, topic: bytes) -> None:
        """Receive messages with this topic, on a SUB socket."""
        self._socket.subscribe(topic)

    def unsubscribe(self, topic: bytes) -> None:
        """End a subscription."""
        self._socket.unsubscribe(topic)

    def connect(self, endpoint: str) -> None:
        """Connect to an endpoint, see `connect`."""
        connect(self._socket, endpoint)

    def close(self) -> None:
        """Close the socket; its queues are dropped."""
        if self._scheduled is not None:
            self._scheduled.cancel()
        if not self._socket.closed:
            if self._unfinished is not None:
                self._unfinished.close()
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()


def _property(frame: zmq.Frame, name: str) -> str:
    """Return a property of the connection that a frame arrived on; empty if it has none."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:  # not a network, or the end of a connection
        return ""
