"""DEALER sockets whose connection is monitored."""

from __future__ import annotations

import logging

import zmq

from caterva2.limits import WireLimits
from caterva2.wire import sockets
from caterva2.wire.auth.curve import Protect, plain
from caterva2.wire.sockets import Context, Socket

log = logging.getLogger(__name__)
DENIED = zmq.EVENT_HANDSHAKE_FAILED_AUTH
"""The other side does not admit the key."""
GIVEN_UP: dict[int, str] = {
    DENIED: "does not admit our key: its operator has to run cat2keys allow",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "is not reached: does only one side use keys?",
}
"""Events after which ZeroMQ does not connect again, and why they happen."""
DENIED_PAUSE = 1.0
"""Seconds between two attempts to connect to a service after which ZeroMQ gives it up."""
_EVENTS = (
    zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | DENIED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)  # fmt: skip
"""The connection is lost, an attempt to connect failed, the connection is established, or not."""


def connect(
    context: Context, endpoint: str, limits: WireLimits, protect: Protect = plain
) -> Socket:
    """Make a socket that is connected to an endpoint as soon as that is there.

    Raises
    ------
    zmq.ZMQError
        If there are too many sockets, or it is not an endpoint.
    """
    dealer = sockets.make(context, zmq.DEALER, data=True, limits=limits, protect=protect)
    try:
        # First: an event without the other end of the monitor blocks the I/O thread for good.
        monitor(dealer)
        sockets.connect(dealer, endpoint)
    except Exception:
        close(dealer)
        raise
    return dealer


def monitor(dealer: Socket) -> Socket:
    """Return the socket with the events of a connection, one for each dealer."""
    made: Socket = dealer.get_monitor_socket(_EVENTS)
    return made


def close(dealer: Socket) -> None:
    """Close a socket and its monitor."""
    try:
        events = monitor(dealer)
        dealer.disable_monitor()
        events.close(linger=0)
    except zmq.ZMQError as error:  # no socket was left for a monitor
        log.debug("no monitor to close: %s", error)
    finally:
        dealer.close()
