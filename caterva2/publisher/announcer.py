"""The PUB socket on which a publisher announces changes of its root and that it is alive."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import zmq

from caterva2.names import RootName
from caterva2.wire import codec, messages, sockets


class Announcer:
    """Sends notes about one root to the broker's XSUB socket.

    Parameters
    ----------
    make : callable
        Makes a PUB; the last one is closed with its context.
    root : RootName
    """

    def __init__(self, make: Callable[[], sockets.Socket], root: RootName) -> None:
        self._make = make
        self._socket = make()
        self._topic = codec.root_topic(root)
        self._connected = False

    def connect(self, xsub: str) -> None:
        """Send to this endpoint from now on, and to no other, by a new connection.

        ZeroMQ gives a connection up where the key is not admitted, which may have changed, and
        goes on for ever with one to a server that has another key, even after a disconnect.
        """
        if self._connected:
            self._socket.close()
            self._socket = self._make()
        self._connected = True
        sockets.connect(self._socket, xsub)

    def announce(self, note: messages.RootNote) -> None:
        """Send a note; if it is lost, the revision in the next beat shows it."""
        with contextlib.suppress(zmq.Again):
            self._socket.send_multipart([self._topic, *codec.encode(note)], zmq.DONTWAIT)
