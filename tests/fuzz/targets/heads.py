"""What a client sends over a connection: heads and bodies of requests."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from caterva2.limits import DEFAULTS
from caterva2.web.server.early import EarlyProtocol, NothingEarly
from caterva2.web.server.hosts import Hosts

TURNS = 6
"""Turns of the loop in which answers are made."""


class Transport(asyncio.Transport):
    """A connection that takes everything at once."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.sent = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent += data

    def writelines(self, pieces: Any) -> None:
        self.sent += b"".join(pieces)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Read the body, and answer with its size."""
    size, more = 0, True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        size += len(message.get("body", b""))
    headers = [(b"content-length", b"%d" % len(str(size)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(size).encode()})


class Server:
    """What makes connections, in a loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.faults: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.config = uvicorn.Config(
            application, proxy_headers=False, log_config=None, access_log=False, lifespan="off",
            ws="none", http=EarlyProtocol.answering(DEFAULTS.web, NothingEarly(), Hosts([]), ""),
        )  # fmt: skip
        self.config.load()

    async def talk(self, data: bytes) -> bytes:
        transport = Transport()
        protocol: Any = self.config.http_protocol_class
        made = protocol(self.config, ServerState(), {}, self.loop)
        made.connection_made(transport)
        half = len(data) // 2
        for piece in (data[:half], data[half:]):  # as a connection delivers it
            if piece and not transport.closed:
                made.data_received(piece)
                await self.turn()
        made.connection_lost(None)
        await self.turn()
        for task in list(made.tasks):
            task.cancel()
        return bytes(transport.sent)

    async def turn(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)


@functools.cache
def server() -> Server:
    return Server()


def one(data: bytes) -> None:
    sent = server().loop.run_until_complete(server().talk(data))
    assert not sent or sent.startswith(b"HTTP/1.1 "), sent[:100]
    assert not server().faults, server().faults.pop()
