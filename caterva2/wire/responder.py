"""The answering side of a ROUTER socket: decode, dispatch by message type, reply.

Broker and publisher stand on it. The error semantics are the same for every channel:

- a message with another magic is dropped, since its sender does not speak the protocol;
- a message that can't be decoded is answered `bad-message`, with its request id where that
  could be read;
- a `CatervaError` that a handler raises is the answer to the request;
- any other exception is logged with its traceback and answered `internal`;
- a reply to a peer that is gone, or whose queue is full, is lost: requesters ask again.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import zmq

from caterva2.errors import BadMessage, Busy, CatervaError, Internal
from caterva2.runtime.fair_shares import share_of
from caterva2.runtime.logs.bounded import BoundedLog
from caterva2.wire import codec
from caterva2.wire.auth.connections import Connections
from caterva2.wire.auth.policy import ADMIT_ALL, ANYBODY, Authenticator, Grant
from caterva2.wire.messages import Reply, Request
from caterva2.wire.networks import is_loopback
from caterva2.wire.sockets import Frames, LoopSocket, Socket

log = logging.getLogger(__name__)
Q = TypeVar("Q", bound=Request)
H = TypeVar("H", bound=Request)


@dataclass(frozen=True, slots=True)
class Peer:
    """The connection that a request arrived on.

    ``route`` is ROUTER's routing id, another one after each reconnection. ``key`` is the
    authenticated key of the connection, empty without authentication; rights depend on it
    and on ``grant``, never on a field of a message. ``address`` is the network address, empty if
    it is not known.
    """

    route: bytes
    key: str = ""
    grant: Grant = ANYBODY
    address: str = ""

    @property
    def share(self) -> str:
        """What its use of the service counts against: all connections of a holder, or an address.

        Connections cost a peer nothing, so they have no shares of their own, but for those of
        this machine: without keys these can't be told apart, and others do not reach it by them.
        """
        if self.grant.name:
            return self.grant.name
        near = not self.address or is_loopback(self.address)
        return self.route.hex() if near else share_of(self.address)


class PeerGone(Exception):
    """The connection of a peer is closed: nothing can be sent to it any more."""


def _ignore(_peer: Peer) -> None:
    """Do nothing about a message that arrives."""


class Responder(Generic[Q]):
    """Serves one ROUTER socket on the running event loop.

    Parameters
    ----------
    socket : zmq.Socket
        A bound ROUTER; closed by `close`.
    decode : Decoder
        For the requests of this channel.
    name : str
        The service, as error messages name it.
    authenticator : Authenticator, optional
        Knows the rights of each peer; connections of peers that have none end.
    on_message : callable, optional
        Called for each message that arrives, before it is decoded.
    """

    def __init__(
        self,
        socket: Socket,
        decode: codec.Decoder[Q],
        name: str,
        *,
        authenticator: Authenticator = ADMIT_ALL,
        on_message: Callable[[Peer], None] = _ignore,
    ) -> None:
        self._decode = decode
        self._name = name
        self._authenticator = authenticator
        self._on_message = on_message
        self._log = BoundedLog(log)
        self._handlers: dict[type[Any], Callable[[Peer, Any], None]] = {}
        self._socket = LoopSocket(socket, self._on_frames, addressed=True)

    def handle(self, kind: type[H], handler: Callable[[Peer, H], None]) -> None:
        """Have requests of a type handled by a function.

        The handler runs on the event loop and must not block. It answers with `reply` or
        `send`, at once or later, or raises a `CatervaError`.
        """
        self._handlers[kind] = handler

    def reply(self, peer: Peer, *replies: Reply) -> None:
        """Send replies without payload; lost if the peer is gone or its queue is full."""
        for reply in replies:
            with contextlib.suppress(PeerGone):
                if not self.send(peer, codec.encode(reply)):
                    self._log.note(
                        logging.WARNING, "a peer's queue is full: dropped %s", reply.type
                    )

    def send(self, peer: Peer, frames: Sequence[codec.Buffer], *, copy: bool = True) -> bool:
        """Send an encoded message, without copying its frames if so asked.

        Returns
        -------
        bool
            False if the peer's queue is full: try again later.

        Raises
        ------
        PeerGone
            If the peer's connection is closed.
        """
        try:
            return self._socket.send([peer.route, *frames], copy=copy)
        except zmq.ZMQError as error:
            raise PeerGone(error.strerror) from None

    @property
    def connections(self) -> Connections:
        """The connections on which something arrived."""
        return self._socket.connections

    def close(self) -> None:
        """Close the socket; queued replies are dropped."""
        self._socket.close()

    def _on_frames(self, frames: Frames) -> None:
        key = self._socket.key
        grant = self._authenticator.grant(key)
        if grant is None:
            # It was silent when its key was revoked.
            log.debug("ended the connection of a peer that is not admitted")
            self._socket.end_sender()
            return
        peer = Peer(frames[0], key, grant, self._socket.sender)
        self._on_message(peer)
        try:
            request = self._decode(frames[1:])
        except codec.NotOurs:
            log.debug("dropped a message of another protocol")
        except BadMessage as error:
            self.reply(peer, codec.error_message(codec.request_id(error), error))
        else:
            self._dispatch(peer, request)

    def _dispatch(self, peer: Peer, request: Q) -> None:
        handler = self._handlers.get(type(request))
        try:
            if handler is None:
                raise BadMessage(f"{self._name} does not answer {request.type}")
            handler(peer, request)
        except CatervaError as error:
            level = logging.DEBUG if isinstance(error, Busy) else logging.INFO
            self._log.note(level, "refused %s: %s", request.type, error)
            self.reply(peer, codec.error_message(request.id, error))
        except Exception as error:
            log.exception("handling %s failed", request.type)
            failure = Internal(f"{type(error).__name__} at {self._name}")
            self.reply(peer, codec.error_message(request.id, failure))
