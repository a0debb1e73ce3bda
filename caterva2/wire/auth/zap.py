"""The handler that ZeroMQ asks whether a connection is admitted (ZAP, RFC 27)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import zmq

from caterva2.wire.auth.policy import Authenticator, Grant
from caterva2.wire.sockets import Context, Frames, LoopSocket

log = logging.getLogger(__name__)
ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"
SAID_AGAIN = 60.0
"""Seconds between two lines of the log about a key at a socket: who is refused tries again."""
SAID = 100
"""Lines within that time: a stranger can have as many keys as it likes."""


class ZapHandler:
    """Admits the connections whose keys an authenticator knows; made on the running loop.

    The user id of a connection is its key: rights are looked up with each message, so a list
    that changes holds for connections that exist.

    Parameters
    ----------
    context : zmq.Context
        Whose sockets ask; they may be bound after this is made.
    authenticator : Authenticator
    admits : callable
        Says whether rights are enough for the socket of a domain.
    """

    def __init__(
        self,
        context: Context,
        authenticator: Authenticator,
        admits: Callable[[str, Grant], bool],
    ) -> None:
        self._authenticator = authenticator
        self._admits = admits
        self._said: dict[str, float] = {}
        socket = context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.bind(ENDPOINT)
        self._socket = LoopSocket(socket, self._on_request)

    def close(self) -> None:
        """Close the socket: from now on nobody is admitted."""
        self._socket.close()

    def _on_request(self, frames: Frames) -> None:
        route, empty, version, request, domain, address, _identity, mechanism, *credentials = frames
        key = ""
        if version == VERSION and mechanism == b"CURVE" and len(credentials) == 1:
            key = credentials[0].hex()
        grant = self._authenticator.grant(key) if key else None
        if grant is not None and self._admits(domain.decode(), grant):
            answer = b"200", b"OK", key.encode()
        else:
            answer = b"400", b"not admitted", b""
            self._say(key, address.decode(), domain.decode(), grant)
        self._socket.send([route, empty, VERSION, request, *answer, b""])

    def _say(self, key: str, address: str, domain: str, grant: Grant | None) -> None:
        now = time.monotonic()
        for other in [one for one in self._said if now - self._said[one] >= SAID_AGAIN]:
            del self._said[other]
        if (topic := domain + key) in self._said or len(self._said) >= SAID:
            return
        self._said[topic] = now
        why = f"is {grant.name}'s, who may not use it" if grant else "is not on the list"
        log.warning("refused %s at the %s socket: key %s %s", address, domain, key or "none", why)
