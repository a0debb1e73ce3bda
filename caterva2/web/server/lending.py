"""Connections that are lent to workers, which answer for us what is asked again and again.

A connection is lent with the first bytes of a request, once the last requests on it were such as a
worker may answer. It comes back with those of one that the worker does not answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol, Self

from caterva2.web.server.connections import Connections
from caterva2.web.server.early import EarlyProtocol

_HEAD = 4096
"""Bytes of a request that is lent: workers answer no longer ones."""
Take = Callable[[socket.socket, bytes, int], Awaitable[None]]
"""Serves a connection that came back, with its first bytes, and its patience."""


class Lent:
    """The place of a lent connection among those that are open."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.close: Callable[[], object] = lambda: None
        """Set by the lender: has the worker close what is idle for longest of this address."""

    def give_up(self) -> None:
        """Close an idle connection of this address, for the sake of another one."""
        self.close()

    def end(self) -> None:
        """Leave the place, since the connection was closed or came back."""
        self._connections.discard(self)


class Lender(Protocol):
    """Has workers that connections can be lent to.

    Attributes
    ----------
    take : callable
        Set by the server: serves a connection that comes back.
    """

    take: Take

    def lend(self, descriptor: int, patience: int, data: bytes, lent: Lent) -> bool:
        """Pass a copy of a descriptor, and what was received, to a worker.

        Returns
        -------
        bool
            False if there is no worker that takes it; ``lent`` is ended later otherwise.
        """
        ...


class LendingProtocol(EarlyProtocol):
    """HTTP whose connections are lent to workers, while they are asked for small slices."""

    lender: ClassVar[Lender]
    _patience = 1
    """Early answers in a row that are given here first."""
    _in_row = 0
    _first: bytes = b""

    @classmethod
    def lending(cls, lender: Lender) -> type[Self]:
        """Return this class with a lender."""
        return type(cls.__name__, (cls,), {"lender": lender})

    @classmethod
    def returned(
        cls, config: Any, state: Any, app_state: dict[str, Any], data: bytes, patience: int
    ) -> Self:
        """Make the protocol of a connection that came back, with what was received there."""
        made = cls(config=config, server_state=state, app_state=app_state)
        made._first, made._patience = data, max(1, patience)
        return made

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._first:
            first, self._first = self._first, b""
            self.data_received(first)

    def data_received(self, data: bytes) -> None:
        if self._in_row < self._patience or not self._lend(data):
            super().data_received(data)

    def _lend(self, data: bytes) -> bool:
        whole = len(data) <= _HEAD and data.startswith(b"GET ") and data.endswith(b"\r\n\r\n")
        unsent = self.flow.write_paused or self.transport.get_write_buffer_size()
        if not whole or not self._idle or unsent or self.transport.is_closing():
            return False
        self._in_row = 0
        lent = Lent(self.connections_open)
        descriptor = self.transport.get_extra_info("socket").fileno()
        if not self.lender.lend(descriptor, self._patience, data, lent):
            return False
        self.connections_open.replace(self, lent)
        self.transport.abort()  # the worker has another descriptor of it
        return True

    def _rest(self) -> None:
        super()._rest()
        self._in_row = self._in_row + 1 if self._lends else 0

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._in_row = 0
        super()._start_asgi_task(cycle, app)
