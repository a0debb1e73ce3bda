"""The connections of bound sockets, which end when their key is revoked or they take too much."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Connection:
    """An established connection.

    ``inode`` tells it from a later one with the same descriptor, ``weight`` is what its peer has
    put on this service.
    """

    fd: int
    inode: int
    key: str
    weight: int = 0


class Connections:
    """The connections on which something arrived, by their descriptors.

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
        if known is None or (known.inode, known.key) != (inode, key):
            known = self._by_fd[fd] = Connection(fd, inode, key)
        return known

    def end_unless(self, admitted: Callable[[str], bool]) -> list[str]:
        """End the connections whose keys are not admitted; return these keys."""
        late = [one for one in self._by_fd.values() if not admitted(one.key)]
        for one in late:
            self.end(one)
        return [one.key for one in late]

    def end(self, connection: Connection) -> None:
        """End a connection; ZeroMQ notices it at once, and releases what belongs to it."""
        self._by_fd.pop(connection.fd, None)
        with (
            contextlib.suppress(OSError),
            open(os.dup(connection.fd), "rb", buffering=0) as held,  # can't become another one
            socket.socket(fileno=os.dup(held.fileno())) as one,
        ):
            if os.fstat(held.fileno()).st_ino == connection.inode:
                one.shutdown(socket.SHUT_RDWR)


def _inode(fd: int) -> int | None:
    """Return what tells a socket from others with its descriptor; None if it is closed."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return None
