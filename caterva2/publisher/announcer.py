"""The PUB socket on which a publisher announces changes of its root and that it is alive."""

from __future__ import annotations

import contextlib

import zmq

from caterva2.names import RootName
from caterva2.wire import codec, messages, sockets


class Announcer:
    """Sends notes about one root to the broker's XSUB socket.

    Parameters
    ----------
    socket : zmq.Socket
        A PUB; closed with its context.
    root : RootName
    """

    def __init__(self, socket: sockets.Socket, root: RootName) -> None:
        self._socket = socket
        self._topic = codec.root_topic(root)
        self._xsub = ""

    def connect(self, xsub: str) -> None:
        """Send to this endpoint from now on, and to no other, by a new connection.

        ZeroMQ gives a connection up where the key is not admitted, which may have changed.
        """
        if self._xsub:
            with contextlib.suppress(zmq.ZMQError):  # it was given up
                self._socket.disconnect(self._xsub)
        self._xsub = xsub
        sockets.connect(self._socket, xsub)

    def announce(self, note: messages.RootNote) -> None:
        """Send a note; if it is lost, the revision in the next beat shows it."""
        with contextlib.suppress(zmq.Again):
            self._socket.send_multipart([self._topic, *codec.encode(note)], zmq.DONTWAIT)
