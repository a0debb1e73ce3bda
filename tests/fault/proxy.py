"""A TCP proxy that does to connections what networks do: delay, thin out, cut, swallow, damage.

It serves ZeroMQ and HTTP alike. `benchmarks` may put it between services as a wide-area link.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any, Self

_PIECE = 16_384
_IN_FLIGHT = 1000
"""Pieces of a connection that may be on their way at once."""
_BACKLOG = 0.05
"""Seconds of what a thin link carries that may wait for it, as in the buffer of a router."""
_SOCKET_BUFFER = 2**17
"""Of the proxy's own sockets, so that hardly anything is taken that the link can't carry yet."""


class Way(enum.Enum):
    """A direction: to the target, or back from it."""

    FORTH = "forth"
    BACK = "back"


class _Connection:
    """Where bytes come from and go to, each way, and the ways on which they disappear."""

    def __init__(self, near: _Streams, far: _Streams) -> None:
        self.sources = {Way.FORTH: near[0], Way.BACK: far[0]}
        self.sinks = {Way.FORTH: far[1], Way.BACK: near[1]}
        self.lost: set[Way] = set()


class Proxy:
    """Forwards connections to a port of this machine, from a thread of its own.

    The link is one for all its connections. Opening one takes a round trip, pieces are under way
    one behind the other, and what was sent before an end arrives before it.

    Parameters
    ----------
    target : int
        Port that connections are forwarded to.
    seed : int
        Of what happens at random.
    listen : tuple
        Address and port to listen at; port 0 is any free one.
    host : str
        Of the target.

    Attributes
    ----------
    port : int
        Where it listens.
    delay : float
        Seconds that a piece is under way, in each direction.
    bandwidth : float
        Bytes a second in each direction, of all connections together; 0 is without a limit.
    scatter : float
        Seconds at most by which each connection, and each piece of one, comes later at random.
        So connections overtake each other, while each keeps its order.
    cut_share : float
        Share of pieces after which their connection is cut.
    damage_share : float
        Share of pieces, on their way back, of which one bit is turned.
    swallow : bool
        Whether pieces, and ends of connections, disappear while the connections stay open.
    mute : Way or None
        The direction in which they disappear, while the other goes on.
    translate : dict
        Byte strings that are replaced by others as long on their way back, as gateways do that
        know of addresses in a protocol.
    carried, asked : int
        Bytes that came back from the target, and that went to it.
    """

    def __init__(
        self, target: int, seed: int = 0, listen: tuple[str, int] = ("127.0.0.1", 0),
        host: str = "127.0.0.1",
    ) -> None:  # fmt: skip
        self.target = target
        self._host = host
        self.delay = 0.0
        self.bandwidth = 0.0
        self.scatter = 0.0
        self.cut_share = 0.0
        self.damage_share = 0.0
        self.swallow = False
        self.mute: Way | None = None
        self.translate: dict[bytes, bytes] = {}
        self.carried = self.asked = self.cuts = self.damaged = 0
        self._random = random.Random(seed)
        self._free = dict.fromkeys(Way, 0.0)
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port: int = self._do(self._listen(listen))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what happens to connections ---

    def cut(self) -> None:
        """Cut all connections, and lose what is under way."""
        self._do(self._cut())

    def finish(self, way: Way) -> None:
        """End all connections in one direction (FIN), while the other goes on."""
        self._do(self._finish(way))

    def vanish(self, way: Way) -> None:
        """Have whoever sends in a direction vanish, without a word to the other side.

        The one that vanishes sees all its connections cut, and may make new ones. The other gets
        what was under way, and then nothing, not even an end.
        """
        self._do(self._vanish(way))

    def heal(self) -> None:
        """Be a good link again, for new connections."""
        self.delay = self.bandwidth = self.scatter = self.cut_share = self.damage_share = 0.0
        self.swallow = False
        self.mute = None
        self.cut()

    def close(self) -> None:
        """Cut all connections and listen no more."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # --- on its own thread ---

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self, at: tuple[str, int]) -> int:
        listening = _small_socket()
        listening.bind(at)
        self._server = await asyncio.start_server(self._accept, sock=listening)
        port: int = listening.getsockname()[1]
        return port

    async def _cut(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish(self, way: Way) -> None:
        for connection in self._connections:
            connection.lost.add(way)
            with contextlib.suppress(OSError, RuntimeError):  # it has ended before
                connection.sinks[way].write_eof()

    async def _vanish(self, way: Way) -> None:
        for connection in self._connections:
            connection.lost |= set(Way)
            connection.sinks[_other(way)].transport.abort()

    async def _end(self) -> None:
        self._server.close()
        for _ in range(30):  # the last that was accepted is a connection after some steps only
            await self._cut()
            # One that was closed still has what its reader did not take.
            for transport in list(self._loop._transports.values()):  # type: ignore[attr-defined]
                transport.abort()
            await asyncio.sleep(0)  # transports that were cut close their sockets now

    def _accept(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._carry((source, sink)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: _closed(sink))  # also if it never began

    async def _carry(self, near: _Streams) -> None:
        """One connection, from its first to its last byte."""
        sinks = [near[1]]
        connection: _Connection | None = None
        try:
            await asyncio.sleep(2 * self.delay + self._late())
            far = await self._open()
            sinks.append(far[1])
            connection = _Connection(near, far)
            self._connections.add(connection)
            async with asyncio.TaskGroup() as group:
                for way in Way:
                    queue: _Queue = asyncio.Queue(_IN_FLIGHT)
                    group.create_task(self._read(connection, way, queue))
                    group.create_task(self._write(connection, way, queue))
            for sink in sinks:
                sink.close()
        except* OSError:
            pass
        finally:
            if connection is not None:
                self._connections.discard(connection)
            for sink in sinks:
                _closed(sink)

    async def _open(self) -> _Streams:
        far = _small_socket()
        far.setblocking(False)
        try:
            await self._loop.sock_connect(far, (self._host, self.target))
        except BaseException:  # cancelled too
            far.close()
            raise
        return await asyncio.open_connection(sock=far)

    async def _read(self, connection: _Connection, way: Way, queue: _Queue) -> None:
        """Take pieces, tell when each arrives; None is a connection that was reset."""
        due = 0.0
        piece: bytes | None
        while True:
            await self._room(way)
            try:
                piece = await connection.sources[way].read(_PIECE)
            except OSError:
                piece = None
            if piece:
                piece = self._counted(way, piece)
            if self.swallow or self.mute is way or way in connection.lost:
                if not piece:
                    await _forever()
                continue
            due = max(due, self._arrival(way, len(piece or b"")))
            await queue.put((due, piece))
            if not piece:
                return

    async def _write(self, connection: _Connection, way: Way, queue: _Queue) -> None:
        """Hand pieces over when they are due."""
        sink = connection.sinks[way]
        try:
            while True:
                due, piece = await queue.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if piece is None:
                    raise ConnectionResetError
                if not piece:
                    sink.write_eof()
                    return
                sink.write(piece)
                await sink.drain()
        except (OSError, RuntimeError):  # the latter where this way was ended before
            if way not in connection.lost:
                raise
            await _forever()

    def _counted(self, way: Way, piece: bytes) -> bytes:
        """A piece as it goes on, which may end its connection."""
        if way is Way.FORTH:
            self.asked += len(piece)
        else:
            self.carried += len(piece)
            for found, instead in self.translate.items():
                piece = piece.replace(found, instead)
            piece = self._maybe_damaged(piece)
        if self._random.random() < self.cut_share:
            self.cuts += 1
            raise ConnectionAbortedError
        return piece

    def _maybe_damaged(self, piece: bytes) -> bytes:
        if len(piece) < 1000 or self._random.random() >= self.damage_share:
            return piece
        self.damaged += 1
        changed = bytearray(piece)
        changed[self._random.randrange(500, len(piece))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    # --- the link ---

    async def _room(self, way: Way) -> None:
        """Wait until the link has something to carry for a moment only."""
        if self.bandwidth and (wait := self._free[way] - time.monotonic() - _BACKLOG) > 0:
            await asyncio.sleep(wait)

    def _arrival(self, way: Way, size: int) -> float:
        """When a piece that was sent now is there: behind all others, and one delay later."""
        sent = time.monotonic()
        if self.bandwidth:
            sent = max(sent, self._free[way]) + size / self.bandwidth
            self._free[way] = sent
        return sent + self.delay + self._late()

    def _late(self) -> float:
        return self._random.uniform(0, self.scatter) if self.scatter else 0.0


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_Queue = asyncio.Queue[tuple[float, bytes | None]]


def _other(way: Way) -> Way:
    return Way.BACK if way is Way.FORTH else Way.FORTH


def _small_socket() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    return made


def _closed(sink: asyncio.StreamWriter) -> None:
    if not sink.is_closing():
        sink.transport.abort()


async def _forever() -> None:
    """Leave the other side in the dark, until the connection is cut."""
    await asyncio.Event().wait()
