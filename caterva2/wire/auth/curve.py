"""Encryption of connections: by CURVE with the key pair of a service, or none.

ZeroMQ's names: the side that binds is CURVE's server, the one that connects its client, which
has to know the server's key.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import zmq

from caterva2.wire.auth.keys import Keypair

log = logging.getLogger(__name__)
Protect = Callable[["zmq.Socket[bytes]"], None]
"""Prepares a socket before it is bound or connected."""


class Links(Protocol):
    """How a service protects its sockets."""

    @property
    def own(self) -> str:
        """The public key of the service; empty if it uses none."""

    def serve(self, domain: str) -> Protect:
        """Return what prepares a socket that binds; ``domain`` names it to the ZAP handler."""

    def call(self, server_key: str) -> Protect:
        """Return what prepares a socket that connects to the holder of a key."""

    def reaches(self, server_key: str) -> bool:
        """Return whether there can be a connection to the holder of a key, empty for none."""


class Plain:
    """Null object: connections are neither encrypted nor authenticated."""

    own = ""

    def serve(self, domain: str) -> Protect:
        """Return what leaves a socket as it is."""
        return plain

    def call(self, server_key: str) -> Protect:
        """Return what leaves a socket as it is."""
        return plain

    def reaches(self, server_key: str) -> bool:
        """Return whether a peer has no key; peers with a key refuse it."""
        return not server_key


class Curve:
    """All connections are encrypted and authenticated.

    Parameters
    ----------
    pair : Keypair
    """

    def __init__(self, pair: Keypair) -> None:
        self.own = pair.public
        self._pair = pair

    def serve(self, domain: str) -> Protect:
        """Return what makes a socket a server; without a ZAP handler it admits no peer."""
        return functools.partial(self._serve, domain=domain)

    def call(self, server_key: str) -> Protect:
        """Return what makes a socket a client of the holder of a key."""
        return functools.partial(self._call, server_key=server_key)

    def reaches(self, server_key: str) -> bool:
        """Return whether a peer has a key."""
        return bool(server_key)

    def _serve(self, socket: zmq.Socket[bytes], domain: str) -> None:
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._pair.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, domain.encode())
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def _call(self, socket: zmq.Socket[bytes], server_key: str) -> None:
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._pair.secret)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, bytes.fromhex(self._pair.public))
        socket.setsockopt(zmq.CURVE_SERVERKEY, bytes.fromhex(server_key))


class OneOfKeys:
    """Prepares sockets that connect to a server which has one of several keys.

    CURVE does not say that a key is wrong: a server with another one ends the connection, as it
    may for other reasons. So the keys have to be tried, one for all sockets at a time.

    Parameters
    ----------
    links : Links
    keys : sequence of str
        The first is tried first.
    """

    def __init__(self, links: Links, keys: Sequence[str]) -> None:
        self._ways = [(key, links.call(key)) for key in keys]
        self._at = 0
        self._known = ""

    @property
    def are_several(self) -> bool:
        """Whether there is another key to try."""
        return len(self._ways) > 1

    def __call__(self, socket: zmq.Socket[bytes]) -> None:
        """Prepare a socket that connects to the holder of the current key."""
        self._ways[self._at][1](socket)

    def turn(self) -> None:
        """Go on with the next key."""
        self._at = (self._at + 1) % len(self._ways)

    def worked(self, name: str) -> None:
        """Note that a server, as messages name it, has the current key."""
        key, _ = self._ways[self._at]
        if self.are_several and key != self._known:
            log.info("%s has the key %s, one of %d that it may have", name, key, len(self._ways))
        self._known = key


def plain(_socket: zmq.Socket[bytes]) -> None:
    """Leave a socket as it is."""


PLAIN: Links = Plain()
