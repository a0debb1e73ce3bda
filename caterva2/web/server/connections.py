"""Open connections: bounded in all and for each address, at the expense of idle ones."""

from __future__ import annotations

import resource
from collections import Counter
from typing import Protocol

from caterva2.limits import DEFAULTS, WebLimits


class Connection(Protocol):
    """A connection that can be closed when another one needs its place."""

    def give_up(self) -> None: ...


class Connections:
    """The open connections of a server.

    Where there are too many, the one that has been idle for longest is closed: of the same address
    if that has used up its share, else of the address with the most connections. One whose request
    is running is never closed.

    Parameters
    ----------
    limits : WebLimits, optional
    descriptors : int, optional
        Files that this process may open; connections get half of them at most.
    """

    def __init__(self, limits: WebLimits = DEFAULTS.web, descriptors: int | None = None) -> None:
        files = descriptors if descriptors is not None else _descriptors(limits.connections)
        self._most = max(1, min(limits.connections, files // 2))
        self._share = limits.address_connections
        self._open: dict[Connection, str] = {}
        self._count: Counter[str] = Counter()
        self._idle: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection, address: str) -> bool:
        """Add a new, idle connection; return False if it has to be closed instead."""
        self._open[connection] = address
        self._count[address] += 1
        self.idle(connection)
        if self._count[address] > self._share:
            return self._make_room(address, connection)
        if len(self._open) > self._most:
            crowded = max(self._idle, key=self._count.__getitem__)
            return self._make_room(crowded, connection)
        return True

    def busy(self, connection: Connection) -> None:
        """Note that a request of a connection runs."""
        address = self._open.get(connection)
        if address is not None and (idle := self._idle.get(address)) is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[address]

    def idle(self, connection: Connection) -> None:
        """Note that no request of a connection runs."""
        if (address := self._open.get(connection)) is not None:
            self._idle.setdefault(address, {})[connection] = None

    def used(self, connection: Connection) -> None:
        """Note that an idle connection had a request, which was answered at once."""
        idle = self._idle.get(self._open.get(connection, ""), {})
        if connection in idle:
            del idle[connection]
            idle[connection] = None

    def replace(self, connection: Connection, other: Connection) -> None:
        """Let another connection, which counts as idle, have the place of one."""
        self.busy(connection)
        if (address := self._open.pop(connection, None)) is not None:
            self._open[other] = address
            self.idle(other)

    def discard(self, connection: Connection) -> None:
        """Forget a connection."""
        self.busy(connection)
        if (address := self._open.pop(connection, None)) is not None:
            self._count[address] -= 1
            if not self._count[address]:
                del self._count[address]

    def _make_room(self, address: str, new: Connection) -> bool:
        oldest = next(iter(self._idle[address]))
        self.discard(oldest)
        if oldest is new:
            return False
        oldest.give_up()
        return True


def _descriptors(connections: int) -> int:
    """Return how many files this process may open, raised as far as connections need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft
