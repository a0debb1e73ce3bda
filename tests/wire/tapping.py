"""A link with somebody on it who hears, changes and repeats what is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from caterva2.wire.sockets import Address


class Tap:
    """Forwards connections to a target.

    Attributes
    ----------
    address : Address
        Where it listens.
    forth, back : bytearray
        What was sent to the target, and what it sent.
    alter : callable
        Changes the pieces that are sent to the target.
    """

    def __init__(self) -> None:
        self.address = Address("127.0.0.1", 0)
        self.target = self.address
        self.forth, self.back = bytearray(), bytearray()
        self.ends: list[asyncio.StreamWriter] = []
        self.alter: Callable[[bytes], bytes] = lambda piece: piece

    @property
    def heard(self) -> bytes:
        return bytes(self.forth + self.back)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target.port)
        self.ends.append(far_writer)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(reader, far_writer, self.forth, lambda p: self.alter(p)))
            group.create_task(self._pump(far_reader, writer, self.back, lambda piece: piece))

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        heard: bytearray,
        alter: Callable[[bytes], bytes],
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                heard += piece
                writer.write(alter(piece))
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def tapped() -> AsyncIterator[Tap]:
    """Have a tap, whose target is to be set before anything connects."""
    tap = Tap()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        tap.ends.append(writer)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await tap._serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    tap.address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield tap
    finally:
        server.close()
        for _ in range(30):  # the last that was accepted is a connection after some steps only
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in tap.ends:
                end.transport.abort()
            await asyncio.sleep(0)  # they are closed by the loop
