"""The connections of bound sockets, which end when their key is revoked or they take too much."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

log = logging.getLogger(__name__)
HEARTBEATS = 128
"""Bytes a second that may come of no message."""
_TCP_INFO = 136
_RECEIVED = slice(128, 136)
"""Where Linux has the bytes received in its ``tcp_info``, and the length of this up to there."""


@dataclass(slots=True)
class Connection:
    """An established connection.

    ``inode`` tells it from a later one with the same descriptor, ``weight`` is what its peer has
    put on this service. ``messages`` counts those since the last look at it, when ``received``
    bytes had come; ``unfinished`` of these are of no message.
    """

    fd: int
    inode: int
    key: str
    weight: int = 0
    messages: int = 0
    received: int = 0
    unfinished: float = 0.0


class Connections:
    """The connections that are known, by their descriptors.

    ZeroMQ has no way to close one. But it closes those whose peer seems to have closed them, and a
    descriptor can be made look so.
    """

    def __init__(self) -> None:
        self._by_fd: dict[int, Connection] = {}

    def __len__(self) -> int:
        return len(self._by_fd)

    def count(self) -> int:
        """Return how many are open: ZeroMQ does not say which have been closed."""
        return sum(_inode(one.fd) == one.inode for one in self._by_fd.values())

    def seen(self, fd: int, key: str) -> Connection | None:
        """Note that something arrived; return its connection, None if that is gone."""
        inode = _inode(fd)
        if inode is None:
            self._by_fd.pop(fd, None)
            return None
        known = self._by_fd.get(fd)
        if known is None or known.inode != inode or (known.key or key) != key:
            known = self._by_fd[fd] = Connection(fd, inode, key)
        known.key = key
        known.messages += 1
        return known

    def accepted(self, fd: int) -> None:
        """Note a new connection, on which nothing may have arrived yet."""
        with contextlib.suppress(OSError):
            inode, known = os.fstat(fd).st_ino, self._by_fd.get(fd)
            if known is None or known.inode != inode:
                self._by_fd[fd] = Connection(fd, inode, "")

    def end_unfinished(self, most: int, seconds: float) -> bool:
        """End the connections on which much came since the last look, and no whole message.

        Returns
        -------
        bool
            Whether one of them has to be looked at again soon: it is ended the second time, as
            messages that have arrived may be handled only then.
        """
        suspect = False
        for one in list(self._by_fd.values()):
            received = _received(one)
            if received is None:
                del self._by_fd[one.fd]
                continue
            before, came = one.unfinished, received - one.received - seconds * HEARTBEATS
            one.unfinished = 0.0 if one.messages else max(0.0, before + came)
            one.received, one.messages = received, 0
            if one.unfinished > most < before:
                log.warning("ended a connection: %d bytes came of no message", one.unfinished)
                self.end(one)
            suspect |= one.unfinished > most
        return suspect

    def end_unless(self, admitted: Callable[[str], bool]) -> list[str]:
        """End the connections whose keys are not admitted; return these keys."""
        known = [one for one in self._by_fd.values() if one.key]
        late = [one for one in known if not admitted(one.key)]
        for one in late:
            self.end(one)
        return [one.key for one in late]

    def end(self, connection: Connection) -> None:
        """End a connection; ZeroMQ notices it at once, and releases what belongs to it."""
        self._by_fd.pop(connection.fd, None)
        with contextlib.suppress(OSError), _held(connection) as one:
            one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _held(connection: Connection) -> Iterator[socket.socket]:
    """Yield the socket of a connection by a descriptor of ours; `OSError` if it is gone."""
    with (
        open(os.dup(connection.fd), "rb", buffering=0) as held,
        socket.socket(fileno=os.dup(held.fileno())) as one,
    ):
        if os.fstat(held.fileno()).st_ino != connection.inode:
            raise OSError("another connection has this descriptor")
        yield one


def _received(connection: Connection) -> int | None:
    """Return the bytes that came on a connection as the system counts them; None if it is gone."""
    try:
        with _held(connection) as one:
            if not hasattr(socket, "TCP_INFO"):  # another system
                return connection.received
            info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO)
    except OSError:
        return None
    if len(info) < _TCP_INFO:  # an old system does not count them
        return connection.received
    return int.from_bytes(info[_RECEIVED], sys.byteorder)


def _inode(fd: int) -> int | None:
    """Return what tells a socket from others with its descriptor; None if it is closed."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return None
