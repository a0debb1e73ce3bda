"""A TCP proxy that does to a connection what networks do: delay, thin it out, cut, swallow, damage.

It serves ZeroMQ and HTTP alike. `benchmarks` may put it between services as a wide-area link.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Coroutine
from typing import Any, Self

_PIECE = 16_384


class Proxy:
    """Forwards connections to a port of this machine, from a thread of its own.

    Parameters
    ----------
    target : int
        Port that connections are forwarded to.
    seed : int
        Of what happens at random.

    Attributes
    ----------
    port : int
        Where it listens.
    delay : float
        Seconds that each piece is held back, in each direction.
    bandwidth : float
        Bytes a second of each connection and direction; 0 is without a limit.
    cut_share : float
        Share of pieces after which their connection is cut.
    damage_share : float
        Share of pieces, on their way back, of which one bit is turned.
    swallow : bool
        Whether pieces disappear while connections stay open.
    carried : int
        Bytes that came back from the target.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target = target
        self.delay = 0.0
        self.bandwidth = 0.0
        self.cut_share = 0.0
        self.damage_share = 0.0
        self.swallow = False
        self.carried = 0
        self.cuts = 0
        self.damaged = 0
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port: int = self._do(self._listen())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self) -> None:
        """Cut all connections."""
        self._do(self._cut())

    def heal(self) -> None:
        """Let pieces through again, on new connections."""
        self.swallow = False
        self.cut()

    def close(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        try:
            far_in, far_out = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            near_out.transport.abort()
            return
        self._writers |= {near_out, far_out}
        for source, sink, back in ((near_in, far_out, False), (far_in, near_out, True)):
            self._start(self._forward(source, sink, back=back))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, back: bool
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1000)
        sender = self._start(self._send(queue, sink))
        try:
            while piece := await source.read(_PIECE):
                if back:
                    self.carried += len(piece)
                    piece = self._maybe_damaged(piece)
                if self._random.random() < self.cut_share:
                    self.cuts += 1
                    break
                if not self.swallow:
                    await queue.put((time.monotonic() + self.delay, piece))
        except OSError:
            pass
        finally:
            if not self.swallow:  # else the other side is left in the dark until the end
                sender.cancel()
                sink.transport.abort()
                self._writers.discard(sink)

    async def _send(
        self, queue: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, piece = await queue.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if self.bandwidth:
                    await asyncio.sleep(len(piece) / self.bandwidth)
                sink.write(piece)
                await sink.drain()

    def _maybe_damaged(self, piece: bytes) -> bytes:
        if len(piece) < 1000 or self._random.random() >= self.damage_share:
            return piece
        self.damaged += 1
        changed = bytearray(piece)
        changed[self._random.randrange(500, len(piece))] ^= 1 << self._random.randrange(8)
        return bytes(changed)
