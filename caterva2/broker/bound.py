"""The addresses of a broker, and the sockets that are bound to them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import zmq

from caterva2.limits import WireLimits
from caterva2.wire import sockets
from caterva2.wire.auth.service_keys import OPEN, Admission, KeyOptions, refuse_open
from caterva2.wire.networks import ANYWHERE, Networks
from caterva2.wire.sockets import Address, Context, Socket


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Addresses to bind, the state directory, who is admitted, and where publishers may be."""

    endpoint: Address
    xsub: Address
    xpub: Address
    statedir: Path
    keys: KeyOptions = field(default_factory=KeyOptions)
    publishers: Networks = ANYWHERE


@dataclass(frozen=True, slots=True)
class BoundSocket:
    """A socket and the address that it listens on."""

    socket: Socket
    address: Address


@dataclass(frozen=True, slots=True)
class BrokerSockets:
    """The three sockets of a broker."""

    control: BoundSocket
    xsub: BoundSocket
    xpub: BoundSocket

    @classmethod
    def bind(
        cls,
        stack: contextlib.AsyncExitStack,
        context: Context,
        options: BrokerOptions,
        limits: WireLimits,
        keys: Admission = OPEN,
    ) -> Self:
        """Bind the sockets, which the stack closes.

        Raises
        ------
        StartError
            If an address can't be bound.
        """

        def bound(kind: int, address: Address, what: str) -> BoundSocket:
            refuse_open(what, address, keys.links, options.keys)
            protect = keys.links.serve(what)
            made = sockets.make(context, kind, limits=limits, protect=protect)
            socket = stack.enter_context(made)
            if kind == zmq.XPUB:  # each subscription shows by whom it is
                socket.setsockopt(zmq.XPUB_VERBOSER, 1)
            return BoundSocket(socket, sockets.bind(socket, address, what))

        return cls(
            bound(zmq.ROUTER, options.endpoint, "control"),
            bound(zmq.XSUB, options.xsub, "xsub"),
            bound(zmq.XPUB, options.xpub, "xpub"),
        )
